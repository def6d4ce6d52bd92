/* SPDX-License-Identifier: GPL-2.0-only */
/* The tables of connections as memory, and one look at whether they agree with each other. */
#ifndef NSBPF_CHECK_TABLES_H
#define NSBPF_CHECK_TABLES_H

#include "host.h"

/* As the two indexes have it: struct index_bucket in bpf/maps.h. */
struct bucket {
	__u32 lock;
	__u32 elsewhere;
	__u64 words[NSBPF_BUCKET_WORDS];
};

_Static_assert(sizeof(struct bucket) == 64, "shared layout");

#define NAT_WORDS (NSBPF_MAX_NAT_ADDRESSES * NAT_PROTOS << 16)

struct tables {
	size_t room; /* for connections */
	const struct conn *connections;
	const __u32 *deadlines; /* by place - 1, as the next */
	__u32 *places;
	struct pressure *pressure;
	struct buckets {
		int map; /* has locks in it, and so is no memory */
		size_t count;
		struct bucket *copy; /* as of the last look */
	} index, bindings;
	__u64 *nat_ports;
	struct usage *usage;
};

enum suspicion {
	LEADS_NOWHERE,  /* a word of the index: `number` is where it is, `value` the word */
	NOT_FOUND,      /* a direction of a connection is not in the index: 2 * place + direction */
	FOUND_TWICE,    /* the same, it is there more than once */
	PLACE_LOST,     /* neither a connection's nor free */
	PLACE_SHARED,   /* a connection's and free, or free twice */
	MISCOUNTED,     /* an endpoint's connections: its slot, how many there are */
	MISCOUNTED_NAT, /* the same of NAT ports */
	PORT_USERS,     /* a NAT port: its index in nat_ports, how many have it << 16 | how many it says */
	BINDING_LOST,   /* a NAT port that is another number than the endpoint's own, and no binding leads to it */
	BINDING_STRAY,  /* a word of the bindings leads to a port that is not such a one */
};

struct suspect {
	enum suspicion what;
	__u64 number;
	__u64 value;
};

struct suspects {
	struct suspect *list;
	size_t count;
	__u32 churn; /* places that were taken or given back meanwhile: so much may counters be off */
};

/* All of them, to be written if `writable`. 0, or -1 with err; to be closed in any case. */
int tables_open(struct host *host, bool writable, struct tables *tables, struct error *err);
void tables_close(struct tables *tables);
#define _cleanup_tables_ __attribute__((cleanup(tables_close)))

/* What does not fit at one look: connections come and go meanwhile, so some of it may be nothing. 0 or
 * -errno; the list, all zero before, is on the heap in any case. */
int tables_look(struct tables *tables, struct suspects *suspects);

#endif
