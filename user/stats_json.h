/* SPDX-License-Identifier: GPL-2.0-only */
/* What `stats` and `top` show, as JSON: docs/json.md. */
#ifndef NSBPF_STATS_JSON_H
#define NSBPF_STATS_JSON_H

#include <jansson.h>

#include "listing.h"
#include "rates.h"

/* One digit behind the point is enough, and spares whoever reads JSON the others. */
json_t *rate_json(double number);

/* An endpoint's counters, and `rates` or NULL. */
json_t *endpoint_stats_json(const struct endpoint_sample *endpoint, const struct rates *rates);
/* All of it; `before` may be NULL, then every rate is null. */
json_t *stats_json(const struct sample *now, const struct sample *before);

/* One line from that, without a newline, of `connections` and `interval`: "1.0 s: 4 of 65536 connections, 3 NAT ports";
 * returns what snprintf() does. */
size_t summary_format(const json_t *stats, char *text, size_t size);
void print_summary(const json_t *stats);

/* Of endpoint_stats_json(): what was counted, and how fast. */
#define ENDPOINT_NUMBERS 7 /* columns flush right */
extern const struct column endpoint_counts[], endpoint_rates[];

#endif
