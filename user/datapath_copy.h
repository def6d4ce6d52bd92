/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A copy of the datapath, to find out what it would do to a packet. It shares the configuration with the one that runs,
 * and has connections, NAT ports and counters of its own: those of the moment when it was made. Whatever a packet does
 * to them nobody else sees.
 */
#ifndef NSBPF_DATAPATH_COPY_H
#define NSBPF_DATAPATH_COPY_H

#include <stddef.h>

#include "host.h"
#include "nsbpf/drops.h"
#include "packet_build.h"

struct datapath_copy {
	struct host *host;
	struct nsbpf *skel;
	size_t room; /* for connections */
	/* As memory, by place - 1: */
	const struct conn *connections;
	const struct traffic *traffic;
	const struct block *deadlines;
};

/* To run this one of the entry points ("from_endpoint"), and to_endpoint. */
int datapath_copy_open(struct datapath_copy *copy, struct host *host, const char *program, struct error *err);
/* Of one that was opened, or is all zero. */
void datapath_copy_close(struct datapath_copy *copy);
#define _cleanup_datapath_copy_ __attribute__((cleanup(datapath_copy_close)))

/* What came of a packet. */
struct copy_run {
	int action; /* TC_ACT_* */
	struct packet_frame frame;
	size_t length;
};

/* Where a packet meets a program. */
struct copy_hook {
	const char *program;          /* "from_endpoint" */
	unsigned int ifindex;         /* of the device that the program is on */
	unsigned int ingress_ifindex; /* by which it came in before, or 0 */
};

int datapath_copy_run(const struct datapath_copy *copy, const struct copy_hook *hook, const struct packet_spec *packet,
		      struct copy_run *result, struct error *err);

/* The place of the connection that packets with this tuple belong to, and which direction they are; 0: there is none.
 */
size_t datapath_copy_find(const struct datapath_copy *copy, const struct tuple *tuple, enum conn_dir *dir);
/* Why a packet that was run was dropped; DROP_REASONS: none was; -1 with err. */
int datapath_copy_reason(const struct datapath_copy *copy, struct error *err);
/* The endpoints that one was delivered to, and that has a drop on its account; 0: none. */
int datapath_copy_endpoints(const struct datapath_copy *copy, unsigned int *receiver, unsigned int *blamed,
			    struct error *err);
/* What the datapath would find out about the route of such packets of endpoints of a network. */
int datapath_copy_route(const struct datapath_copy *copy, const struct tuple *tuple, __u32 network,
			struct route_told *told, struct error *err);

#endif
