/* SPDX-License-Identifier: GPL-2.0-only */
/* Which connections are meant: conntrack(8)'s options, and some more. */
#ifndef NSBPF_CONNECTION_FILTER_H
#define NSBPF_CONNECTION_FILTER_H

#include "addr.h"
#include "command.h"
#include "connection_view.h"

/* The options as they were given, NULL for those that were not. */
struct filter_words {
	const char *family, *proto, *source, *destination, *sport, *dport, *id, *state, *endpoint, *nat;
};

#define FILTER_OPTIONS 10

/* Each criterion has a `has_`, or is 0 where there is none. */
struct connection_filter {
	int family; /* 4 or 6 */
	__u8 proto;
	__u8 nat; /* CONN_SNAT or CONN_DNAT */
	bool has_source, has_destination, has_sport, has_dport, has_id;
	struct cidr source, destination; /* of the original direction, as the ports */
	__u16 sport, dport, id;
	__u32 states;         /* any of these bits, see connection_filter.c */
	const char *endpoint; /* name */
	unsigned int slot;    /* the endpoint's */
};

/* Their rows of a table of options, FILTER_OPTIONS of them. */
void filter_options(struct filter_words *words, struct option_spec options[]);
/* 0, or -1 with err: they make no sense. */
int filter_parse(struct connection_filter *filter, const struct filter_words *words, struct error *err);
/* Finds the endpoint. 0, or -1 with err. */
int filter_settle(struct connection_filter *filter, const struct host *host, struct error *err);

/* Is there no criterion at all? */
bool filter_is_empty(const struct connection_filter *filter);
bool filter_matches(const struct connection_filter *filter, const struct connection_view *view);

/* -1 for none of those that have connections; capitals are the same. */
int protocol_parse(const char *text);

#endif
