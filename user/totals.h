/* SPDX-License-Identifier: GPL-2.0-only */
/* What a host has and did as a whole: connections, and packets dropped. */
#ifndef NSBPF_TOTALS_H
#define NSBPF_TOTALS_H

#include <jansson.h>

#include "drops.h"
#include "host.h"

struct totals {
	__u32 max_connections;
	struct usage usage;
	struct pressure pressure;
	unsigned long long drops[DROP_REASONS];
};

/* All zero but max_connections where nothing runs. 0 or -errno. */
int totals_read(const struct host *host, struct totals *totals);

/* "connections" and "drops" of docs/json.md. */
json_t *totals_connections(const struct totals *totals);
json_t *totals_drops(const unsigned long long drops[DROP_REASONS]);

/* One line each of what is not zero, under a title; nothing at all if all is. */
void print_drops(const char *title, const json_t *drops);
void print_pressure(const json_t *connections);

#endif
