/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections by what they carry: two looks at the connection table, and the difference. */
#ifndef NSBPF_FLOWS_H
#define NSBPF_FLOWS_H

#include "connections.h"

struct flow {
	struct connection_view view; /* but its `endpoint` */
	double packets[CONN_DIRS];   /* in a second, by direction */
	double bits[CONN_DIRS];      /* of IP and above */
};

enum flow_order {
	FLOWS_BY_BITS,
	FLOWS_BY_PACKETS,
};

struct flow_query {
	enum flow_order order;
	connection_fn *wanted;
	const void *arg;
	size_t limit; /* how many at most */
};

struct seen;

/* What the last look saw, and the flows that carried most since the one before. Begins as all zero. */
struct flows {
	unsigned long long taken; /* ns; 0: nothing was looked at yet */
	struct seen *seen;        /* by place */
	__u32 room;
	struct flow *top; /* the first is the largest; those that carried nothing are not among them */
	size_t count;
};

/* Looks again. 0, or -1 with err. */
int flows_look(struct flows *flows, struct host *host, const struct flow_query *query, struct error *err);
void flows_free(struct flows *flows);

#endif
