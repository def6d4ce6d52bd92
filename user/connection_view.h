/* SPDX-License-Identifier: GPL-2.0-only */
/* A connection as people and programs are shown it. */
#ifndef NSBPF_CONNECTION_VIEW_H
#define NSBPF_CONNECTION_VIEW_H

#include <jansson.h>

#include "host.h"

struct connection_view {
	__u32 place; /* in the table, from 0 on */
	struct conn conn;
	struct traffic traffic[CONN_DIRS];
	/* What follows from these, see connection_view_complete(). */
	enum conn_state state;
	__u32 left;           /* seconds until it ends if no packet comes */
	const char *endpoint; /* name of whose it is, for as long as the host is open; "" if that is gone */
};

/* Fills in the rest by `conn` and `traffic`. The host is running. */
void connection_view_complete(const struct host *host, struct connection_view *view);

/* Has an answer come? */
bool connection_is_replied(const struct connection_view *view);
/* Answered and not closed: it never ends early for lack of room, as bpf/pressure.h has it. */
bool connection_is_assured(const struct connection_view *view);
/* Its ports are an ICMP query's identifier, and 0. */
bool connection_is_query(const struct connection_view *view);
/* In host order; of a query, the identifier. */
__u16 connection_source_port(const struct connection_view *view, enum conn_dir dir);
__u16 connection_destination_port(const struct connection_view *view, enum conn_dir dir);

/* "tcp", "udp", "icmp", "icmpv6"; NULL for all others. */
const char *protocol_name(__u8 proto);
/* As the settings have it, without "timeout.": "tcp-established", "udp". */
const char *connection_state_name(enum conn_state state);

/* As conntrack(8) has it, without a newline. */
#define CONNECTION_LINE 512
const char *connection_line(const struct connection_view *view, char text[CONNECTION_LINE]);
/* NULL for lack of memory. */
json_t *connection_json(const struct connection_view *view);

#endif
