/* SPDX-License-Identifier: GPL-2.0-only */
/* What runs, as a file would say it. */
#include <string.h>

#include "config.h"
#include "mappings.h"
#include "uplinks.h"

struct building {
	const struct host *host;
	json_t *into;
	struct resolvers upstream;
	size_t left_out;
};

static json_t *settings_of(const struct settings *settings)
{
	json_t *json = json_object();
	char text[SETTING_TEXT];

	for (size_t i = 0; i < all_settings_count; i++) {
		const struct setting *setting = &all_settings[i];
		__u32 value = setting_get(setting, settings);

		if (value != setting->initial)
			json_object_set_new(json, setting->name, json_string(setting_format(setting, value, text)));
	}
	return json;
}

static int add_uplink(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct building *b = arg;

	(void)ifindex;
	if (!(uplink->flags & UPLINK_NAMED))
		return 0;
	return json_array_append_new(b->into, json_string(uplink->name));
}

static json_t *address_json(const struct nsbpf_addr *addr)
{
	char text[ADDR_TEXT];

	return json_string(addr_format(addr, text));
}

static json_t *addresses_json(const struct nsbpf_addr *addr4, const struct nsbpf_addr *addr6)
{
	json_t *json = json_array();

	json_array_append_new(json, address_json(addr4));
	if (!addr_is_any(addr6))
		json_array_append_new(json, address_json(addr6));
	return json;
}

static json_t *masquerade_json(bool routed, const struct nsbpf_addr *addr)
{
	return routed ? json_string("off") : addr_is_any(addr) ? json_string("on") : address_json(addr);
}

static json_t *number_or_auto(__u32 number)
{
	return number ? json_sprintf("%u", number) : json_string("auto");
}

static int add_network(unsigned int slot, const struct network *n, void *arg)
{
	struct cidr subnet4 = network_subnet4(n), subnet6 = network_subnet6(n);
	struct nsbpf_addr gateway4 = addr_from4(n->gateway4);
	char text4[CIDR_TEXT], text6[CIDR_TEXT];
	struct building *b = arg;

	(void)slot;
	if (n->state != SLOT_READY)
		return 0;
	return json_object_set_new(
		b->into, n->name,
		json_pack("{s:s,s:s,s:o,s:s,s:o,s:o,s:o,s:s,s:s}", "subnet", cidr_format(&subnet4, text4), "subnet6",
			  cidr_format(&subnet6, text6), "gateway", addresses_json(&gateway4, &n->gateway6), "mode",
			  n->flags & (NETWORK_ROUTED4 | NETWORK_ROUTED6) ? MODE_ROUTED : MODE_NAT, "masquerade",
			  masquerade_json(n->flags & NETWORK_ROUTED4, &n->masquerade4), "masquerade6",
			  masquerade_json(n->flags & NETWORK_ROUTED6, &n->masquerade6), "mtu", number_or_auto(n->mtu),
			  "isolate", n->flags & NETWORK_OPEN ? "off" : "on", "filtering",
			  n->flags & NETWORK_FULL_CONE ? FILTERING_FULL_CONE : FILTERING_DEFAULT));
}

json_t *config_dns_of(const struct endpoint *endpoint, const struct resolvers *upstream)
{
	struct resolvers resolvers;
	json_t *json;

	if (!(endpoint->flags & ENDPOINT_RESOLV_CONF))
		return resolv_is_foreign(endpoint->name) ? NULL : json_string("none");
	if (resolv_matches(endpoint->name, upstream) || resolv_read(endpoint->name, &resolvers) || !resolvers.nservers)
		return json_string("host");
	json = json_array();
	for (unsigned int i = 0; i < resolvers.nservers; i++)
		json_array_append_new(json, address_json(&resolvers.servers[i]));
	return json;
}

static int add_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct addr_pair addrs = endpoint_addresses(endpoint);
	struct network network = { 0 };
	struct building *b = arg;
	char mac[MAC_TEXT];
	json_t *json;

	(void)slot;
	if (endpoint->state != SLOT_READY) {
		b->left_out++;
		return 0;
	}
	network_get(b->host, endpoint->network, &network);
	json = json_pack(
		"{s:s,s:o,s:s,s:o,s:o,s:o?,s:[]}", "network", network.name, "ip", addresses_json(&addrs.v4, &addrs.v6),
		"mac", mac_format(endpoint->mac, mac), "mtu", json_sprintf("%u", endpoint->mtu), "max-connections",
		number_or_auto(endpoint->max_connections), "dns", config_dns_of(endpoint, &b->upstream), "ports");
	return json_object_set_new(b->into, endpoint->name, json);
}

struct exposure config_exposure_of(const struct host *host, const struct mapping *mapping)
{
	struct exposure exposure = { .ports = { .addr = mapping->addr,
						.first = mapping->first,
						.last = mapping->last,
						.target = mapping->target,
						.has_target = true,
						.tcp = mapping->proto == IPPROTO_TCP,
						.udp = mapping->proto == IPPROTO_UDP },
				     .nsources = mapping->nsources };
	struct endpoint endpoint;

	if (!endpoint_get(host, mapping->endpoint, &endpoint))
		strcpy(exposure.endpoint, endpoint.name);
	for (unsigned int i = 0; i < mapping->nsources; i++)
		exposure.sources[i] = (struct cidr){ mapping->sources[i].addr, mapping->sources[i].prefix };
	return exposure;
}

/* Just its ports, if they are for everybody. */
static json_t *exposure_json(const struct exposure *exposure)
{
	char ports[EXPOSURE_TEXT], text[CIDR_TEXT];
	json_t *from;

	exposure_format(exposure, ports);
	if (!exposure->nsources)
		return json_string(ports);
	from = json_array();
	for (unsigned int i = 0; i < exposure->nsources; i++)
		json_array_append_new(from, json_string(cidr_format(&exposure->sources[i], text)));
	return json_pack("{s:s,s:o}", "ports", ports, "from", from);
}

static int add_port(const struct mapping *mapping, void *arg)
{
	struct building *b = arg;
	struct exposure exposure = config_exposure_of(b->host, mapping);
	json_t *ports = json_object_get(json_object_get(b->into, exposure.endpoint), "ports");

	if (!ports)
		return 0; /* its endpoint is left out */
	return json_array_append_new(ports, exposure_json(&exposure));
}

json_t *config_of_host(const struct host *host, size_t *left_out)
{
	json_t *uplinks = json_array(), *networks = json_object(), *endpoints = json_object();
	struct building b = { .host = host };
	json_t *json;
	int ret = 0;

	json = json_pack("{s:o,s:o,s:o,s:o}", "settings", host->running ? settings_of(host->settings) : json_object(),
			 "uplinks", uplinks, "networks", networks, "endpoints", endpoints);
	if (json && host->running) {
		resolv_upstream(&b.upstream);
		b.into = uplinks;
		ret = uplink_each(host, add_uplink, &b);
		b.into = networks;
		ret = ret || network_each(host, add_network, &b);
		b.into = endpoints;
		ret = ret || endpoint_each(host, add_endpoint, &b) || mapping_each(host, add_port, &b);
	}
	*left_out = b.left_out;
	if (!ret)
		return json;
	json_decref(json);
	return NULL;
}
