/* SPDX-License-Identifier: GPL-2.0-only */
/* Looking at a host again and again, and putting in order what it does. */
#include "top.h"

#include <stdlib.h>
#include <string.h>

#include "addr.h"
#include "stats_json.h"

const char *const top_orders[TOP_ORDERS] = {
	[TOP_BY_BITS] = "bits",   [TOP_BY_PACKETS] = "packets",
	[TOP_BY_DROPS] = "drops", [TOP_BY_CONNECTIONS] = "connections",
	[TOP_BY_NAME] = "name",
};

const struct column flow_columns[] = {
	{ "ENDPOINT", "endpoint" },
	{ "PROTOCOL", "protocol" },
	{ "SOURCE", "source" },
	{ "PORT", "source_port" },
	{ "DESTINATION", "destination" },
	{ "PORT", "destination_port" },
	{ "PACKETS/S", "original_packets_per_s" },
	{ "BITS/S", "original_bits_per_s" },
	{ "REPLY PACKETS/S", "reply_packets_per_s" },
	{ "REPLY BITS/S", "reply_bits_per_s" },
	{ NULL, NULL },
};

static bool is_chosen(const struct top *top, const char *name)
{
	return !*top->endpoint || (top->part ? !!strstr(name, top->endpoint) : !strcmp(name, top->endpoint));
}

/* A connection between two endpoints is both's. */
static bool is_flow_shown(const struct conn *conn, const void *arg)
{
	const bool *shown = arg;
	const __u16 slots[] = { conn->endpoint, conn->targets[DIR_ORIGINAL], conn->targets[DIR_REPLY] };

	for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++)
		if (slots[i] < NSBPF_MAX_ENDPOINTS && shown[slots[i]])
			return true;
	return false;
}

static int look_at_flows(struct top *top, struct host *host, const struct sample *now, struct error *err)
{
	const struct flow_query query = {
		.order = top->order == TOP_BY_PACKETS ? FLOWS_BY_PACKETS : FLOWS_BY_BITS,
		.wanted = is_flow_shown,
		.arg = top->shown,
		.limit = top->max_flows,
	};

	if (!host->running) {
		flows_free(&top->flows);
		return 0;
	}
	memset(top->shown, 0, sizeof(top->shown));
	for (size_t i = 0; i < now->count; i++)
		top->shown[now->endpoints[i].slot] = is_chosen(top, now->endpoints[i].endpoint.name);
	return flows_look(&top->flows, host, &query, err);
}

int top_look(struct top *top, struct error *err)
{
	struct sample now;
	struct host host;
	int ret = host_open(&host, err);

	if (!ret && sample_take(&host, &now))
		ret = fail(err, EXIT_SYSTEM, "cannot read the counters");
	if (!ret && look_at_flows(top, &host, &now, err)) {
		sample_free(&now);
		ret = -1;
	}
	host_close(&host);
	if (ret)
		return ret;
	sample_free(&top->before);
	top->before = top->now;
	top->now = now;
	top->measured = top->before.taken;
	return 0;
}

void top_free(struct top *top)
{
	sample_free(&top->now);
	sample_free(&top->before);
	flows_free(&top->flows);
}

/* An endpoint and what it is put in order by. */
struct ranked {
	const struct endpoint_sample *sample;
	struct rates rates;
	double rank;
};

static double rank_of(enum top_order order, const struct endpoint_sample *sample, const struct rates *rates)
{
	switch (order) {
	case TOP_BY_BITS:
		return rates->rx_bits + rates->tx_bits;
	case TOP_BY_PACKETS:
		return rates->rx_packets + rates->tx_packets;
	case TOP_BY_DROPS:
		return rates->drops;
	case TOP_BY_CONNECTIONS:
		return sample->usage.connections;
	default:
		return 0;
	}
}

/* The largest first, and by name where they are equal: those that do nothing stay where they are. */
static int compare(const void *a, const void *b)
{
	const struct ranked *first = a, *second = b;

	if (first->rank != second->rank)
		return first->rank < second->rank ? 1 : -1;
	return strcmp(first->sample->endpoint.name, second->sample->endpoint.name);
}

static json_t *endpoints_json(const struct top *top)
{
	struct ranked *ranked = calloc(top->now.count + 1, sizeof(*ranked));
	json_t *json = json_array();
	size_t count = 0;

	for (size_t i = 0; ranked && i < top->now.count; i++) {
		const struct endpoint_sample *sample = &top->now.endpoints[i];
		struct rates rates = { 0 };

		if (!is_chosen(top, sample->endpoint.name))
			continue;
		if (top->measured)
			rates = rates_of(sample, &top->now, &top->before);
		ranked[count++] = (struct ranked){ sample, rates, rank_of(top->order, sample, &rates) };
	}
	if (ranked)
		qsort(ranked, count, sizeof(*ranked), compare);
	for (size_t i = 0; i < count; i++)
		json_array_append_new(json,
				      endpoint_stats_json(ranked[i].sample, top->measured ? &ranked[i].rates : NULL));
	free(ranked);
	return json;
}

static const char *endpoint_name(const struct sample *sample, unsigned int slot)
{
	for (size_t i = 0; i < sample->count; i++)
		if (sample->endpoints[i].slot == slot)
			return sample->endpoints[i].endpoint.name;
	return NULL;
}

/* The ports of a query are null, as in conntrack's JSON. */
static json_t *port_or_null(const struct connection_view *view, __be16 port)
{
	return connection_is_query(view) ? json_null() : json_integer(ntohs(port));
}

static json_t *flow_json(const struct sample *sample, const struct flow *flow)
{
	const struct connection_view *view = &flow->view;
	const struct tuple *tuple = &view->conn.tuples[DIR_ORIGINAL];
	char source[ADDR_TEXT], destination[ADDR_TEXT];

	return json_pack("{s:s?,s:s,s:s,s:o,s:s,s:o,s:o,s:o,s:o,s:o}", "endpoint",
			 endpoint_name(sample, view->conn.endpoint), "protocol", protocol_name(tuple->proto), "source",
			 addr_format(&tuple->saddr, source), "source_port", port_or_null(view, tuple->sport),
			 "destination", addr_format(&tuple->daddr, destination), "destination_port",
			 port_or_null(view, tuple->dport), "original_packets_per_s",
			 rate_json(flow->packets[DIR_ORIGINAL]), "original_bits_per_s",
			 rate_json(flow->bits[DIR_ORIGINAL]), "reply_packets_per_s",
			 rate_json(flow->packets[DIR_REPLY]), "reply_bits_per_s", rate_json(flow->bits[DIR_REPLY]));
}

static json_t *flows_json(const struct top *top)
{
	json_t *json = json_array();

	for (size_t i = 0; i < top->flows.count; i++)
		json_array_append_new(json, flow_json(&top->now, &top->flows.top[i]));
	return json;
}

json_t *top_json(const struct top *top)
{
	return json_pack("{s:b,s:o,s:o,s:o,s:o}", "running", top->now.running, "interval",
			 top->measured ? rate_json(sample_seconds(&top->now, &top->before)) : json_null(),
			 "connections", totals_connections(&top->now.totals), "endpoints", endpoints_json(top), "flows",
			 flows_json(top));
}
