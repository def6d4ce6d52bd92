/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters and rates as JSON. */
#include "stats_json.h"

#include <math.h>
#include <stdio.h>

/* Of all endpoints together; no name of one has parentheses. */
#define ALL "(all)"

const struct column endpoint_counts[] = {
	{ "ENDPOINT", "name" },           { "RX PACKETS", "rx_packets" }, { "RX BYTES", "rx_bytes" },
	{ "TX PACKETS", "tx_packets" },   { "TX BYTES", "tx_bytes" },     { "DROPS", "drops" },
	{ "CONNECTIONS", "connections" }, { "NAT PORTS", "nat_ports" },   { NULL, NULL },
};

const struct column endpoint_rates[] = {
	{ "ENDPOINT", "name" },
	{ "RX PACKETS/S", "rx_packets_per_s" },
	{ "RX BITS/S", "rx_bits_per_s" },
	{ "TX PACKETS/S", "tx_packets_per_s" },
	{ "TX BITS/S", "tx_bits_per_s" },
	{ "DROPS/S", "drops_per_s" },
	{ "CONNECTIONS", "connections" },
	{ "NAT PORTS", "nat_ports" },
	{ NULL, NULL },
};

json_t *rate_json(double number)
{
	return json_real(round(number * 10) / 10);
}

static json_t *rate_or_null(bool known, double number)
{
	return known ? rate_json(number) : json_null();
}

json_t *endpoint_stats_json(const struct endpoint_sample *endpoint, const struct rates *rates)
{
	const struct endpoint_stats *stats = &endpoint->stats;
	const struct rates r = rates ? *rates : (struct rates){ 0 };

	return json_pack("{s:s,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o,s:o,s:o,s:o}", "name", endpoint->endpoint.name,
			 "rx_packets", (json_int_t)stats->rx_packets, "rx_bytes", (json_int_t)stats->rx_bytes,
			 "tx_packets", (json_int_t)stats->tx_packets, "tx_bytes", (json_int_t)stats->tx_bytes, "drops",
			 (json_int_t)stats->drops, "connections", (json_int_t)endpoint->usage.connections, "nat_ports",
			 (json_int_t)endpoint->usage.ports, "rx_packets_per_s", rate_or_null(rates, r.rx_packets),
			 "rx_bits_per_s", rate_or_null(rates, r.rx_bits), "tx_packets_per_s",
			 rate_or_null(rates, r.tx_packets), "tx_bits_per_s", rate_or_null(rates, r.tx_bits),
			 "drops_per_s", rate_or_null(rates, r.drops));
}

static void add_stats(struct endpoint_stats *sum, const struct endpoint_stats *stats)
{
	sum->rx_packets += stats->rx_packets;
	sum->rx_bytes += stats->rx_bytes;
	sum->tx_packets += stats->tx_packets;
	sum->tx_bytes += stats->tx_bytes;
}

static void add_rates(struct rates *sum, const struct rates *rates)
{
	sum->rx_packets += rates->rx_packets;
	sum->rx_bits += rates->rx_bits;
	sum->tx_packets += rates->tx_packets;
	sum->tx_bits += rates->tx_bits;
}

/* Puts the rows into `rows`, and returns the sum of them; with what was dropped and is no endpoint's. */
static json_t *endpoint_rows(const struct sample *now, const struct sample *before, json_t *rows)
{
	struct endpoint_sample all = { .endpoint = { .name = ALL }, .usage = now->totals.usage };
	struct rates rates, sum = { 0 };

	for (size_t i = 0; i < now->count; i++) {
		const struct endpoint_sample *endpoint = &now->endpoints[i];

		add_stats(&all.stats, &endpoint->stats);
		if (before) {
			rates = rates_of(endpoint, now, before);
			add_rates(&sum, &rates);
		}
		json_array_append_new(rows, endpoint_stats_json(endpoint, before ? &rates : NULL));
	}
	for (int i = 0; i < DROP_REASONS; i++) {
		all.stats.drops += now->totals.drops[i];
		if (before)
			sum.drops += rate(now->totals.drops[i], before->totals.drops[i], sample_seconds(now, before));
	}
	return endpoint_stats_json(&all, before ? &sum : NULL);
}

static json_t *drop_rates(const struct sample *now, const struct sample *before)
{
	json_t *json = json_object();

	for (int i = 0; i < DROP_REASONS; i++)
		json_object_set_new(
			json, drop_name(i),
			rate_json(rate(now->totals.drops[i], before->totals.drops[i], sample_seconds(now, before))));
	return json;
}

json_t *stats_json(const struct sample *now, const struct sample *before)
{
	json_t *rows = json_array(), *all = endpoint_rows(now, before, rows);

	return json_pack("{s:b,s:o,s:o,s:o,s:o,s:o,s:o}", "running", now->running, "interval",
			 before ? rate_json(sample_seconds(now, before)) : json_null(), "connections",
			 totals_connections(&now->totals), "endpoints", rows, "all", all, "drops",
			 totals_drops(now->totals.drops), "drops_per_s",
			 before ? drop_rates(now, before) : json_null());
}

size_t summary_format(const json_t *stats, char *text, size_t size)
{
	const json_t *connections = json_object_get(stats, "connections"),
		     *interval = json_object_get(stats, "interval");
	char took[24] = "";

	if (!json_is_true(json_object_get(stats, "running")))
		return snprintf(text, size, "nothing runs here");
	if (!json_is_null(interval))
		snprintf(took, sizeof(took), "%.1f s: ", json_number_value(interval));
	return snprintf(text, size,
			"%s%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " connections, %" JSON_INTEGER_FORMAT
			" NAT ports",
			took, json_integer_value(json_object_get(connections, "count")),
			json_integer_value(json_object_get(connections, "max")),
			json_integer_value(json_object_get(connections, "nat_ports")));
}

void print_summary(const json_t *stats)
{
	char text[128];

	summary_format(stats, text, sizeof(text));
	puts(text);
}
