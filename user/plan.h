/* SPDX-License-Identifier: GPL-2.0-only */
/* What has to be done so that a host is as a file says. */
#ifndef NSBPF_PLAN_H
#define NSBPF_PLAN_H

#include "config.h"

enum change_action {
	CHANGE_ADD,
	CHANGE_SET,   /* in place */
	CHANGE_RENEW, /* it goes, and is made anew */
	CHANGE_REMOVE,
};

enum change_object {
	OBJECT_SETTING,
	OBJECT_UPLINK,
	OBJECT_NETWORK,
	OBJECT_ENDPOINT,
	OBJECT_PORT,
};

enum change_state {
	CHANGE_TODO,
	CHANGE_HALF, /* of CHANGE_RENEW: it is gone */
	CHANGE_DONE,
};

struct change {
	enum change_action action;
	enum change_object object;
	enum change_state state;
	char name[NSBPF_NAME_MAX + 1]; /* of a port: of its endpoint */
	json_t *differs;               /* array of {key, is, should}, all text */
	/* What is wanted; of a port, what is to go if it goes. Only that of its object counts. */
	const struct setting *setting;
	__u32 value;
	struct config_network *network;
	struct config_endpoint *endpoint;
	struct exposure exposure;
};

struct plan {
	struct config *config;
	struct change *changes; /* in the order in which they are to be made */
	size_t count, room;
};

/* prune: what the file does not name shall go. Looks only; what can't be fails here. 0, or -1 with err. */
int plan_make(const struct host *host, struct config *config, bool prune, struct plan *plan, struct error *err);
void plan_free(struct plan *plan);
#define _cleanup_plan_ __attribute__((cleanup(plan_free)))

/* Makes them, and calls done() for each as soon as it is. Ends with the first that fails: -1 with err. */
int plan_carry_out(struct plan *plan, struct host *host, void (*done)(const struct change *), struct error *err);

#endif
