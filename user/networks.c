/* SPDX-License-Identifier: GPL-2.0-only */
/* Making, changing and removing networks. */
#include "networks.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "connections.h"
#include "endpoints.h"
#include "host_addresses.h"
#include "subnets.h"
#include "uplinks.h"

static int write_network(const struct host *host, __u32 slot, const struct network *network, struct error *err)
{
	if (bpf_map_update_elem(host->maps[MAP_NETWORKS], &slot, network, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot note network %s: %s", network->name, strerror(errno));
	return 0;
}

int network_get(const struct host *host, unsigned int slot, struct network *network)
{
	if (slot >= NSBPF_MAX_NETWORKS || host->networks[slot].state == SLOT_FREE)
		return -ENOENT;
	*network = host->networks[slot];
	return 0;
}

int network_each(const struct host *host, int (*each)(unsigned int slot, const struct network *, void *arg), void *arg)
{
	struct network network;
	int ret = 0;

	for (unsigned int slot = 1; slot < NSBPF_MAX_NETWORKS && !ret; slot++)
		if (!network_get(host, slot, &network))
			ret = each(slot, &network, arg);
	return ret;
}

int network_find(const struct host *host, const char *name, struct network *network)
{
	for (unsigned int slot = 1; slot < NSBPF_MAX_NETWORKS; slot++)
		if (!network_get(host, slot, network) && !strcmp(network->name, name))
			return slot;
	return -1;
}

static int find_free_slot(const struct host *host)
{
	struct network network;

	for (unsigned int slot = 1; slot < NSBPF_MAX_NETWORKS; slot++)
		if (network_get(host, slot, &network))
			return slot;
	return -1;
}

struct cidr network_subnet(const struct network *network)
{
	return (struct cidr){ .addr = addr_from4(network->subnet4), .prefix = 96 + network->prefix4 };
}

unsigned int network_mtu(const struct host *host, const struct network *network)
{
	return network->mtu ? network->mtu : uplinks_mtu(host);
}

/* Packets of the host to addresses that no endpoint has must not leave by the default route. */
static struct route subnet_route(const struct network *network)
{
	return (struct route){
		.dst = addr_from4(network->subnet4),
		.prefix = network->prefix4,
		.table = RT_TABLE_MAIN,
		.type = RTN_UNREACHABLE,
		.scope = RT_SCOPE_UNIVERSE,
		.protocol = ROUTE_PROTOCOL,
	};
}

static int make(struct host *host, int slot, struct network *network, struct error *err)
{
	struct route route = subnet_route(network);
	int ret;

	network->state = SLOT_INCOMPLETE;
	if (write_network(host, slot, network, err))
		return -1;
	ret = route_add(host->nl, &route);
	if (ret && ret != -EEXIST) {
		struct network free_slot = { 0 };

		fail(err, EXIT_SYSTEM, "cannot add the route of network %s: %s", network->name, strerror(-ret));
		write_network(host, slot, &free_slot, &(struct error){ 0 });
		return -1;
	}
	network->state = SLOT_READY;
	return write_network(host, slot, network, err);
}

/* Does what was asked for agree with what is there? */
static bool matches(const struct network *network, const struct network_spec *spec)
{
	return (!spec->subnet || (addr_to4(&spec->subnet->addr) == network->subnet4 &&
				  spec->subnet->prefix == 96U + network->prefix4)) &&
	       (!spec->gateway || addr_to4(spec->gateway) == network->gateway4) &&
	       (!spec->mtu || *spec->mtu == network->mtu) &&
	       (!spec->isolate || *spec->isolate == !(network->flags & NETWORK_OPEN)) &&
	       (!spec->full_cone || *spec->full_cone == !!(network->flags & NETWORK_FULL_CONE)) &&
	       (!spec->masquerade || addr_equal(spec->masquerade, &network->masquerade4));
}

static void set_flag(struct network *network, enum network_flag flag, bool on)
{
	network->flags = on ? network->flags | flag : network->flags & ~flag;
}

static int apply_options(const struct host *host, struct network *network, const struct network_spec *spec,
			 struct error *err)
{
	if (spec->mtu)
		network->mtu = *spec->mtu;
	if (spec->isolate)
		set_flag(network, NETWORK_OPEN, !*spec->isolate);
	if (spec->full_cone)
		set_flag(network, NETWORK_FULL_CONE, *spec->full_cone);
	if (!spec->masquerade)
		return 0;
	if (!addr_is_any(spec->masquerade) && host_address_require(host, spec->masquerade, err))
		return -1;
	network->masquerade4 = *spec->masquerade;
	return 0;
}

int network_add(struct host *host, const struct network_spec *spec, struct error *err)
{
	struct network network, new = { 0 };
	struct nsbpf_addr gateway;
	struct cidr subnet;
	int slot = network_find(host, spec->name, &network);

	if (slot >= 0 && network.state == SLOT_READY) {
		if (matches(&network, spec))
			return 0;
		return fail(err, EXIT_CONFLICT, "network %s exists with other settings (see `nsbpf network list`)",
			    spec->name);
	}
	if (slot < 0)
		slot = find_free_slot(host);
	if (slot < 0)
		return fail(err, EXIT_SYSTEM, "there is room for %d networks only", NSBPF_MAX_NETWORKS - 1);

	if (spec->subnet) {
		subnet = *spec->subnet;
		if (subnet_check(host, spec->name, &subnet, err))
			return -1;
	} else if (subnet_choose(host, spec->name, &subnet, err)) {
		return -1;
	}
	gateway = spec->gateway ? *spec->gateway : addr_from4(htonl(ntohl(addr_to4(&subnet.addr)) + 1));
	if (subnet_check_gateway(&subnet, &gateway, err))
		return -1;

	strcpy(new.name, spec->name);
	new.prefix4 = subnet.prefix - 96;
	new.subnet4 = addr_to4(&subnet.addr);
	new.mask4 = htonl(~0U << (32 - new.prefix4));
	new.gateway4 = addr_to4(&gateway);
	if (apply_options(host, &new, spec, err))
		return -1;
	return make(host, slot, &new, err) ? -1 : 1;
}

struct network_members {
	const struct host *host;
	unsigned int network;
};

/* Did it begin outside, by a NAT port of the network? */
static bool came_by_nat_port(const struct tuple *tuple, const struct conn *conn, const void *arg)
{
	const struct network_members *members = arg;

	(void)tuple;
	return conn->target_ports && members->host->endpoints[conn->target].network == members->network;
}

int network_set(struct host *host, const struct network_spec *spec, struct error *err)
{
	struct network network;
	int slot = network_find(host, spec->name, &network), ret;
	bool was_full_cone;

	if (slot < 0 || network.state != SLOT_READY)
		return fail(err, EXIT_MISSING, "no network %s", spec->name);
	if (matches(&network, spec))
		return 0;
	was_full_cone = network.flags & NETWORK_FULL_CONE;
	if (apply_options(host, &network, spec, err) || write_network(host, slot, &network, err))
		return -1;
	/* What may not begin any more may not go on either. */
	if (was_full_cone && !(network.flags & NETWORK_FULL_CONE)) {
		ret = connections_end(host, came_by_nat_port, &(struct network_members){ host, slot });
		if (ret < 0)
			return fail(err, EXIT_SYSTEM, "cannot end connections: %s", strerror(-ret));
	}
	return 1;
}

int network_delete(struct host *host, const char *name, struct error *err)
{
	struct network network, free_slot = { 0 };
	struct endpoint member;
	struct route route;
	int slot = network_find(host, name, &network), ret;

	if (slot < 0)
		return 0;
	if (endpoint_find_in_network(host, slot, &member) >= 0)
		return fail(err, EXIT_CONFLICT, "network %s is in use by endpoint %s", name, member.name);
	network.state = SLOT_INCOMPLETE;
	if (write_network(host, slot, &network, err))
		return -1;
	route = subnet_route(&network);
	ret = route_delete(host->nl, &route);
	if (ret && ret != -ESRCH)
		return fail(err, EXIT_SYSTEM, "cannot delete the route of network %s: %s", name, strerror(-ret));
	return write_network(host, slot, &free_slot, err) ? -1 : 1;
}

int network_require(struct host *host, const char *name, struct network *network, struct error *err)
{
	struct network_spec spec = { .name = name };
	int slot = network_find(host, name, network);

	if (slot >= 0 && network->state == SLOT_READY)
		return slot;
	if (strcmp(name, NETWORK_DEFAULT))
		return fail(err, EXIT_MISSING, "no network %s (`nsbpf network add %s` makes one)", name, name);
	if (network_add(host, &spec, err) < 0)
		return -1;
	return network_find(host, name, network);
}
