/* SPDX-License-Identifier: GPL-2.0-only */
/* What the plan_*.c files share. */
#ifndef NSBPF_PLAN_INTERNAL_H
#define NSBPF_PLAN_INTERNAL_H

#include "plan.h"

struct planning {
	const struct host *host;
	struct config *config;
	struct plan *plan;
	bool prune;
	struct resolvers upstream; /* the host's */
	struct error *err;
};

/* A change more; NULL, with err, for lack of memory. */
struct change *plan_append(struct planning *p, enum change_action action, enum change_object object, const char *name);
/* 0 or -1 with err: {key, is, should} more. */
int plan_note(struct planning *p, json_t *differs, const char *key, const char *is, const char *should);
/* Shall this be made anew? */
bool plan_renews(const struct planning *p, enum change_object object, const char *name);

/* In the order in which they are called. All 0, or -1 with err. */
int plan_settings(struct planning *p);
int plan_uplinks(struct planning *p);
int plan_networks(struct planning *p);
int plan_endpoints(struct planning *p);
int plan_ports(struct planning *p);

#endif
