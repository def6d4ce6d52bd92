/* SPDX-License-Identifier: GPL-2.0-only */
/* What the explain*.c files share. */
#ifndef NSBPF_EXPLAIN_INTERNAL_H
#define NSBPF_EXPLAIN_INTERNAL_H

#include "addr.h"
#include "datapath_copy.h"
#include "explain.h"
#include "exposure.h"
#include "networks.h"

/* A packet under way. */
struct tracing {
	struct host *host;
	struct explanation *e;
	struct datapath_copy copy;
	struct tuple tuple; /* as the program gets it */
	struct copy_run run;
	int reason; /* of the run: enum drop_reason, or DROP_REASONS */
	/* The connection, if there is one now, and which direction the packet is. */
	size_t place;
	enum conn_dir dir;
	bool was_known; /* before the packet */
	/* Whose packet it is; slot 0: of no endpoint. */
	unsigned int slot;
	struct endpoint endpoint;
	struct network network;
	/* Where it goes: to an endpoint, or by a device. */
	unsigned int target;
	unsigned int blamed;         /* the endpoint that a drop is counted for, or 0 */
	struct route_told route;     /* as an endpoint's packet would be routed */
	char mapping[EXPOSURE_TEXT]; /* the exposed port that it is for, as `expose` takes it; "" */
	unsigned int owner;          /* the endpoint whose exposed port or NAT port that is, or 0 */
};

__attribute__((format(printf, 3, 4))) void say(struct tracing *t, const char *stage, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void obstacle(struct tracing *t, const char *fmt, ...);
/* What mends the last one. */
__attribute__((format(printf, 2, 3))) void remedy(struct tracing *t, const char *fmt, ...);

#define END_TEXT (ADDR_TEXT + 8)
/* An address with its port; without, if the packet is an echo request. */
const char *end_format(const struct tuple *tuple, bool source, char text[END_TEXT]);
const char *device_name(const struct host *host, unsigned int ifindex, char name[IFNAMSIZ]);
const char *endpoint_name(const struct host *host, unsigned int slot);
static inline unsigned int slot_of_device(unsigned int ifindex)
{
	unsigned int slot = ifindex - NSBPF_IFINDEX_BASE;

	return slot < NSBPF_MAX_ENDPOINTS ? slot : 0;
}

/* 0 if nobody has it. */
unsigned int slot_of_address(const struct host *host, const struct nsbpf_addr *addr);
const struct conn *tracing_conn(const struct tracing *t); /* or NULL */

/* explain_stages.c: the stages, each from what the copy has to show. */
int trace_run(struct tracing *t, const struct copy_hook *hook, const unsigned char from[6], const unsigned char to[6],
	      struct error *err);
int say_way(struct tracing *t, struct error *err);
/* True: it is for an exposed port. */
bool say_mapping(struct tracing *t, struct mapping *mapping);
void say_connection(struct tracing *t);

/* explain_around.c */
void look_at_endpoint(struct tracing *t, unsigned int slot);
void look_at_uplink(struct tracing *t, unsigned int ifindex);
/* The next hop: can it be reached? */
void look_at_neighbour(struct tracing *t, unsigned int ifindex, const struct nsbpf_addr *addr);
/* Does anybody listen there? In the namespace of an endpoint, or with slot 0 on the host. */
void look_at_listeners(struct tracing *t, unsigned int slot, const struct tuple *tuple);

#endif
