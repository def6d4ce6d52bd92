/* SPDX-License-Identifier: GPL-2.0-only */
/* Counting connections by protocol, by state and by what became of them. */
#include "connection_counts.h"

#include <string.h>

#include "connections.h"
#include "totals.h"

/* In the order in which they are shown. */
static const __u8 protocols[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6 };
#define PROTOCOLS (sizeof(protocols) / sizeof(protocols[0]))

struct counts {
	json_int_t protocols[PROTOCOLS];
	json_int_t states[CONN_STATES];
	json_int_t unreplied, assured, snat, dnat;
};

static int count_view(const struct connection_view *view, void *arg)
{
	struct counts *counts = arg;

	for (size_t i = 0; i < PROTOCOLS; i++)
		counts->protocols[i] += view->conn.tuples[DIR_ORIGINAL].proto == protocols[i];
	counts->states[view->state]++;
	counts->unreplied += !connection_is_replied(view);
	counts->assured += connection_is_assured(view);
	counts->snat += !!(view->conn.flags & CONN_SNAT);
	counts->dnat += !!(view->conn.flags & CONN_DNAT);
	return 0;
}

static json_t *protocols_json(const struct counts *counts)
{
	json_t *json = json_object();

	for (size_t i = 0; i < PROTOCOLS; i++)
		json_object_set_new(json, protocol_name(protocols[i]), json_integer(counts->protocols[i]));
	return json;
}

static json_t *states_json(const struct counts *counts)
{
	json_t *json = json_object();

	for (int state = 0; state < CONN_STATES; state++)
		json_object_set_new(json, connection_state_name(state), json_integer(counts->states[state]));
	return json;
}

int connection_counts(struct host *host, json_t **json, struct error *err)
{
	struct counts counts = { 0 };
	struct totals totals;
	int ret = totals_read(host, &totals);

	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot read the counters: %s", strerror(-ret));
	if (host->running && connections_each(host, count_view, &counts, err))
		return -1;
	*json = json_pack("{s:b,s:o,s:I,s:I,s:I,s:I,s:o,s:o}", "running", host->running, "connections",
			  totals_connections(&totals), "unreplied", counts.unreplied, "assured", counts.assured, "snat",
			  counts.snat, "dnat", counts.dnat, "protocols", protocols_json(&counts), "states",
			  states_json(&counts));
	return *json ? 0 : fail(err, EXIT_SYSTEM, "out of memory");
}
