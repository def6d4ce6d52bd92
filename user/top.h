/* SPDX-License-Identifier: GPL-2.0-only */
/* Endpoints and flows by rate, for `nsbpf top`. */
#ifndef NSBPF_TOP_H
#define NSBPF_TOP_H

#include <jansson.h>

#include "flows.h"
#include "listing.h"
#include "rates.h"

enum top_order {
	TOP_BY_BITS,
	TOP_BY_PACKETS,
	TOP_BY_DROPS, /* flows by bits, as for the next two */
	TOP_BY_CONNECTIONS,
	TOP_BY_NAME,
	TOP_ORDERS,
};

/* "bits", ... */
extern const char *const top_orders[TOP_ORDERS];

struct top {
	enum top_order order;
	char endpoint[NSBPF_NAME_MAX + 1]; /* only those of this name; "": all */
	bool part;                         /* ... or that have it in their name */
	size_t max_flows;
	/* What top_look() saw: */
	struct sample now, before;
	bool measured; /* there was a look before the last */
	struct flows flows;
	bool shown[NSBPF_MAX_ENDPOINTS]; /* by slot */
};

/* 0, or -1 with err; what was seen before is still there then. */
int top_look(struct top *top, struct error *err);
void top_free(struct top *top);

/* docs/json.md. */
json_t *top_json(const struct top *top);

/* Of top_json()'s flows; its endpoints have endpoint_rates. */
#define FLOW_NUMBERS 4 /* columns flush right */
extern const struct column flow_columns[];

#endif
