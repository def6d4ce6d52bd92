/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Metrics: base units, names as prometheus.io/docs/practices/naming wants them, and few time series: by endpoint and by
 * drop reason, never by flow.
 */
#include "metrics.h"

#include "endpoints.h"
#include "rates.h"

#define GAUGE "gauge"
#define COUNTER "counter"

enum endpoint_metric {
	ENDPOINT_IS_UP,
	RECEIVE_PACKETS,
	RECEIVE_BYTES,
	TRANSMIT_PACKETS,
	TRANSMIT_BYTES,
	DROPPED_PACKETS,
	CONNECTIONS,
	NAT_PORTS,
	ENDPOINT_METRICS,
};

static const struct {
	const char *name, *type, *help;
} endpoint_metrics[ENDPOINT_METRICS] = {
	[ENDPOINT_IS_UP] = { "nsbpf_endpoint_up", GAUGE, "Whether the endpoint's namespace and devices are there." },
	[RECEIVE_PACKETS] = { "nsbpf_endpoint_receive_packets_total", COUNTER, "Packets that the endpoint received." },
	[RECEIVE_BYTES] = { "nsbpf_endpoint_receive_bytes_total", COUNTER,
			    "Bytes that the endpoint received, with Ethernet headers." },
	[TRANSMIT_PACKETS] = { "nsbpf_endpoint_transmit_packets_total", COUNTER, "Packets that the endpoint sent." },
	[TRANSMIT_BYTES] = { "nsbpf_endpoint_transmit_bytes_total", COUNTER,
			     "Bytes that the endpoint sent, with Ethernet headers." },
	[DROPPED_PACKETS] = { "nsbpf_endpoint_dropped_packets_total", COUNTER,
			      "Packets from the endpoint, or to a port exposed to it, that were dropped." },
	[CONNECTIONS] = { "nsbpf_endpoint_connections", GAUGE, "Connections that the endpoint has." },
	[NAT_PORTS] = { "nsbpf_endpoint_nat_ports", GAUGE, "NAT ports that the endpoint's connections use." },
};

static unsigned long long value_of(const struct host *host, const struct endpoint_sample *e,
				   enum endpoint_metric metric)
{
	switch (metric) {
	case ENDPOINT_IS_UP:
		return endpoint_condition(host, &e->endpoint) == ENDPOINT_UP;
	case RECEIVE_PACKETS:
		return e->stats.rx_packets;
	case RECEIVE_BYTES:
		return e->stats.rx_bytes;
	case TRANSMIT_PACKETS:
		return e->stats.tx_packets;
	case TRANSMIT_BYTES:
		return e->stats.tx_bytes;
	case DROPPED_PACKETS:
		return e->stats.drops;
	case CONNECTIONS:
		return e->usage.connections;
	default:
		return e->usage.ports;
	}
}

/* A new family, at the end of `families`: where its samples go. */
static json_t *add_family(json_t *families, const char *name, const char *type, const char *help)
{
	json_t *samples = json_array();

	json_array_append_new(
		families, json_pack("{s:s,s:s,s:s,s:o}", "name", name, "type", type, "help", help, "samples", samples));
	return samples;
}

/* Takes the labels. */
static void add_sample(json_t *samples, json_t *labels, unsigned long long value)
{
	json_array_append_new(samples, json_pack("{s:o,s:I}", "labels", labels, "value", (json_int_t)value));
}

static void add_number(json_t *families, const char *name, const char *type, const char *help, unsigned long long value)
{
	add_sample(add_family(families, name, type, help), json_object(), value);
}

static void add_totals(json_t *families, const struct totals *totals)
{
	json_t *drops;

	add_number(families, "nsbpf_connections", GAUGE, "Connections that there are.", totals->usage.connections);
	add_number(families, "nsbpf_connections_limit", GAUGE, "Connections that there is room for.",
		   totals->max_connections);
	add_number(families, "nsbpf_nat_ports", GAUGE, "NAT ports in use, of all addresses and protocols.",
		   totals->usage.ports);
	add_number(families, "nsbpf_connections_gave_way_total", COUNTER,
		   "Unanswered and closed connections that ended early, for lack of room.", totals->pressure.gave_way);
	add_number(families, "nsbpf_nat_port_overlaps_total", COUNTER,
		   "Connections that had to share a NAT port, as none was free.", totals->pressure.overlaps);
	drops = add_family(families, "nsbpf_dropped_packets_total", COUNTER, "Packets dropped, by reason.");
	for (int i = 0; i < DROP_REASONS; i++)
		add_sample(drops, json_pack("{s:s}", "reason", drop_name(i)), totals->drops[i]);
}

static void add_endpoints(json_t *families, const struct host *host, const struct sample *sample)
{
	for (int m = 0; m < ENDPOINT_METRICS; m++) {
		json_t *samples = add_family(families, endpoint_metrics[m].name, endpoint_metrics[m].type,
					     endpoint_metrics[m].help);

		for (size_t i = 0; i < sample->count; i++)
			add_sample(samples, json_pack("{s:s}", "endpoint", sample->endpoints[i].endpoint.name),
				   value_of(host, &sample->endpoints[i], m));
	}
}

json_t *metrics_build(const struct host *host)
{
	json_t *families = json_array();
	struct sample sample;

	if (sample_take(host, &sample)) {
		json_decref(families);
		return NULL;
	}
	add_sample(add_family(families, "nsbpf_build_info", GAUGE, "Which nsbpf this is."),
		   json_pack("{s:s}", "version", NSBPF_VERSION), 1);
	add_number(families, "nsbpf_running", GAUGE, "Whether nsbpf runs on this host.", sample.running);
	add_totals(families, &sample.totals);
	add_endpoints(families, host, &sample);
	sample_free(&sample);
	return families;
}
