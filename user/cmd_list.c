/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf list, nsbpf ports, and the rows of `network list` and `uplink list`. */
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "endpoints.h"
#include "listing.h"
#include "mappings.h"
#include "networks.h"
#include "uplinks.h"

struct building {
	const struct host *host;
	json_t *rows;
};

/* Takes the row. Non-zero ends the walk: there is no memory. */
static int append(const struct building *b, json_t *row)
{
	return json_array_append_new(b->rows, row);
}

static json_t *built(const struct building *b, int ret)
{
	if (!ret)
		return b->rows;
	json_decref(b->rows);
	return NULL;
}

/* Null for none. */
static json_t *address_or_null(const struct nsbpf_addr *addr)
{
	char text[ADDR_TEXT];

	return addr_is_any(addr) ? json_null() : json_string(addr_format(addr, text));
}

static json_t *addresses_of(const struct endpoint *endpoint)
{
	struct addr_pair addrs = endpoint_addresses(endpoint);
	json_t *json = json_array();

	json_array_append_new(json, address_or_null(&addrs.v4));
	if (!addr_is_any(&addrs.v6))
		json_array_append_new(json, address_or_null(&addrs.v6));
	return json;
}

static const char *condition_name(enum endpoint_condition condition)
{
	switch (condition) {
	case ENDPOINT_UP:
		return "up";
	case ENDPOINT_INCOMPLETE:
		return "incomplete";
	default:
		return "gone";
	}
}

static int endpoint_row(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct building *b = arg;
	const struct nsbpf_addr none = { 0 };
	char mac[MAC_TEXT], device[IFNAMSIZ];
	struct network network = { 0 };
	struct nsbpf_addr gateway4;
	const struct usage *usage = &b->host->usage[slot];
	struct endpoint_stats stats = { 0 };

	network_get(b->host, endpoint->network, &network);
	if (endpoint_stats(b->host, slot, &stats))
		return -1;
	gateway4 = addr_from4(network.gateway4);
	endpoint_device(endpoint, slot, device);
	return append(b, json_pack("{s:s,s:s,s:o,s:o,s:o,s:s,s:s,s:i,s:s,s:b,s:I,s:o,s:I,s:I,s:I,s:I,s:I,s:I}", "name",
				   endpoint->name, "network", network.name, "addresses", addresses_of(endpoint),
				   "gateway", address_or_null(&gateway4), "gateway6",
				   address_or_null(addr_is_any(&endpoint->addr6) ? &none : &network.gateway6), "mac",
				   mac_format(endpoint->mac, mac), "device", device, "mtu", endpoint->mtu, "state",
				   condition_name(endpoint_condition(b->host, endpoint)), "adopted",
				   !!(endpoint->flags & ENDPOINT_ADOPTED), "connections",
				   (json_int_t)usage->connections, "max_connections",
				   endpoint->max_connections ? json_integer(endpoint->max_connections) : json_null(),
				   "nat_ports", (json_int_t)usage->ports, "rx_packets", (json_int_t)stats.rx_packets,
				   "rx_bytes", (json_int_t)stats.rx_bytes, "tx_packets", (json_int_t)stats.tx_packets,
				   "tx_bytes", (json_int_t)stats.tx_bytes, "drops", (json_int_t)stats.drops));
}

static json_t *build_endpoints(const struct host *host)
{
	struct building b = { host, json_array() };

	return built(&b, endpoint_each(host, endpoint_row, &b));
}

const struct listing endpoints_listing = {
	.build = build_endpoints,
	.columns = (const struct column[]){ { "NAME", "name" },
					    { "NETWORK", "network" },
					    { "ADDRESSES", "addresses" },
					    { "MAC", "mac" },
					    { "DEVICE", "device" },
					    { "MTU", "mtu" },
					    { "STATE", "state" },
					    { "CONNECTIONS", "connections" },
					    { "MAX", "max_connections" },
					    { "RX BYTES", "rx_bytes" },
					    { "TX BYTES", "tx_bytes" },
					    { "DROPS", "drops" },
					    { NULL, NULL } },
};

static json_t *sources_of(const struct mapping *m)
{
	json_t *sources = json_array();
	char text[CIDR_TEXT];

	for (unsigned int i = 0; i < m->nsources; i++) {
		struct cidr source = { .addr = m->sources[i].addr, .prefix = m->sources[i].prefix };

		json_array_append_new(sources, json_string(cidr_format(&source, text)));
	}
	return sources;
}

static int mapping_row(const struct mapping *m, void *arg)
{
	struct building *b = arg;
	struct endpoint endpoint = { 0 };
	char addr[ADDR_TEXT] = "any";

	endpoint_get(b->host, m->endpoint, &endpoint);
	if (!addr_is_any(&m->addr))
		addr_format(&m->addr, addr);
	return append(b, json_pack("{s:s,s:s,s:s,s:i,s:i,s:i,s:o}", "endpoint", endpoint.name, "protocol",
				   m->proto == IPPROTO_TCP ? "tcp" : "udp", "address", addr, "first", m->first, "last",
				   m->last, "target", m->target, "sources", sources_of(m)));
}

static json_t *build_mappings(const struct host *host)
{
	struct building b = { host, json_array() };

	return built(&b, mapping_each(host, mapping_row, &b));
}

const struct listing mappings_listing = {
	.build = build_mappings,
	.columns = (const struct column[]){ { "ENDPOINT", "endpoint" },
					    { "PROTOCOL", "protocol" },
					    { "ADDRESS", "address" },
					    { "FIRST", "first" },
					    { "LAST", "last" },
					    { "TARGET", "target" },
					    { "FROM", "sources" },
					    { NULL, NULL } },
};

struct counting {
	unsigned int network;
	int count;
};

static int count_member(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct counting *c = arg;

	(void)slot;
	c->count += endpoint->network == c->network;
	return 0;
}

/* As --masquerade has it. */
static const char *masquerade_text(bool routed, const struct nsbpf_addr *addr, char text[ADDR_TEXT])
{
	if (routed)
		return "off";
	return addr_is_any(addr) ? "on" : addr_format(addr, text);
}

static int network_row(unsigned int slot, const struct network *network, void *arg)
{
	struct building *b = arg;
	struct cidr subnet4 = network_subnet4(network), subnet6 = network_subnet6(network);
	struct nsbpf_addr gateway4 = addr_from4(network->gateway4);
	struct counting members = { slot, 0 };
	char cidr4[CIDR_TEXT], cidr6[CIDR_TEXT], masquerade4[ADDR_TEXT], masquerade6[ADDR_TEXT];

	endpoint_each(b->host, count_member, &members);
	return append(
		b,
		json_pack("{s:s,s:s,s:o,s:s,s:o,s:o,s:b,s:s,s:s,s:s,s:s,s:i}", "name", network->name, "subnet",
			  cidr_format(&subnet4, cidr4), "gateway", address_or_null(&gateway4), "subnet6",
			  cidr_format(&subnet6, cidr6), "gateway6", address_or_null(&network->gateway6), "mtu",
			  network->mtu ? json_integer(network->mtu) : json_null(), "isolate",
			  !(network->flags & NETWORK_OPEN), "mode",
			  network->flags & (NETWORK_ROUTED4 | NETWORK_ROUTED6) ? MODE_ROUTED : MODE_NAT, "masquerade",
			  masquerade_text(network->flags & NETWORK_ROUTED4, &network->masquerade4, masquerade4),
			  "masquerade6",
			  masquerade_text(network->flags & NETWORK_ROUTED6, &network->masquerade6, masquerade6),
			  "filtering", network->flags & NETWORK_FULL_CONE ? FILTERING_FULL_CONE : FILTERING_DEFAULT,
			  "endpoints", members.count));
}

static json_t *build_networks(const struct host *host)
{
	struct building b = { host, json_array() };

	return built(&b, network_each(host, network_row, &b));
}

const struct listing networks_listing = {
	.build = build_networks,
	.columns = (const struct column[]){ { "NAME", "name" },
					    { "SUBNET", "subnet" },
					    { "GATEWAY", "gateway" },
					    { "SUBNET6", "subnet6" },
					    { "GATEWAY6", "gateway6" },
					    { "MTU", "mtu" },
					    { "ISOLATED", "isolate" },
					    { "MODE", "mode" },
					    { "MASQUERADE", "masquerade" },
					    { "MASQUERADE6", "masquerade6" },
					    { "FILTERING", "filtering" },
					    { "ENDPOINTS", "endpoints" },
					    { NULL, NULL } },
};

static int uplink_row(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct building *b = arg;
	struct nsbpf_addr addr4 = addr_from4(uplink->addr4);

	return append(b, json_pack("{s:s,s:i,s:o,s:o,s:b,s:s}", "name", uplink->name, "ifindex", ifindex, "address",
				   uplink->addr4 ? address_or_null(&addr4) : json_null(), "address6",
				   address_or_null(&uplink->addr6), "named", !!(uplink->flags & UPLINK_NAMED), "attach",
				   b->host->settings->features & FEATURE_TCX ? "tcx" : "clsact"));
}

static json_t *build_uplinks(const struct host *host)
{
	struct building b = { host, json_array() };

	return built(&b, uplink_each(host, uplink_row, &b));
}

const struct listing uplinks_listing = {
	.build = build_uplinks,
	.columns = (const struct column[]){ { "NAME", "name" },
					    { "ADDRESS", "address" },
					    { "ADDRESS6", "address6" },
					    { "ATTACHED BY", "attach" },
					    { "NAMED", "named" },
					    { NULL, NULL } },
};

int cmd_list(int argc, char **argv)
{
	return run_listing(argc, argv, &endpoints_listing);
}

int cmd_ports(int argc, char **argv)
{
	return run_listing(argc, argv, &mappings_listing);
}
