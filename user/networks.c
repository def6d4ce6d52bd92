/* SPDX-License-Identifier: GPL-2.0-only */
/* Making, changing and removing networks. */
#include "networks.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "connections.h"
#include "endpoints.h"
#include "host_addresses.h"
#include "subnets.h"
#include "uplinks.h"

/* Packets from outside are only looked up among endpoints if one of them may be meant. */
static void note_routed(const struct host *host)
{
	__u32 flags = host->settings->flags & ~SETTING_ROUTED;

	for (unsigned int slot = 1; slot < NSBPF_MAX_NETWORKS; slot++)
		if (host->networks[slot].flags & (NETWORK_ROUTED4 | NETWORK_ROUTED6))
			flags |= SETTING_ROUTED;
	__atomic_store_n(&host->settings->flags, flags, __ATOMIC_RELAXED);
}

static int write_network(const struct host *host, __u32 slot, const struct network *network, struct error *err)
{
	if (bpf_map_update_elem(host->maps[MAP_NETWORKS], &slot, network, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot note network %s: %s", network->name, strerror(errno));
	note_routed(host);
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

struct cidr network_subnet4(const struct network *network)
{
	return (struct cidr){ .addr = addr_from4(network->subnet4), .prefix = 96 + network->prefix4 };
}

struct cidr network_subnet6(const struct network *network)
{
	return (struct cidr){ .addr = network->subnet6, .prefix = network->prefix6 };
}

unsigned int network_mtu(const struct host *host, const struct network *network)
{
	return network->mtu ? network->mtu : uplinks_mtu(host);
}

static int make(struct host *host, int slot, struct network *network, struct error *err)
{
	network->state = SLOT_INCOMPLETE;
	if (write_network(host, slot, network, err))
		return -1;
	if (network_add_routes(host, network, err)) {
		struct network free_slot = { 0 };

		network_delete_routes(host, network, &(struct error){ 0 });
		write_network(host, slot, &free_slot, &(struct error){ 0 });
		return -1;
	}
	network->state = SLOT_READY;
	return write_network(host, slot, network, err);
}

static bool is_subnet(const struct cidr *wanted, struct cidr subnet)
{
	return !wanted || (addr_equal(&wanted->addr, &subnet.addr) && wanted->prefix == subnet.prefix);
}

static bool is_gateway(const struct nsbpf_addr *wanted, struct nsbpf_addr gateway)
{
	return addr_is_any(wanted) || addr_equal(wanted, &gateway);
}

/* Does what was asked for agree with what is there? */
static bool matches(const struct network *network, const struct network_spec *spec)
{
	return is_subnet(spec->subnet4, network_subnet4(network)) &&
	       is_subnet(spec->subnet6, network_subnet6(network)) &&
	       is_gateway(&spec->gateway.v4, addr_from4(network->gateway4)) &&
	       is_gateway(&spec->gateway.v6, network->gateway6) &&
	       (!spec->routed || *spec->routed == (network->flags & (NETWORK_ROUTED4 | NETWORK_ROUTED6))) &&
	       (!spec->mtu || *spec->mtu == network->mtu) &&
	       (!spec->isolate || *spec->isolate == !(network->flags & NETWORK_OPEN)) &&
	       (!spec->full_cone || *spec->full_cone == !!(network->flags & NETWORK_FULL_CONE)) &&
	       (!spec->masquerade || (addr_equal(&spec->masquerade->v4, &network->masquerade4) &&
				      addr_equal(&spec->masquerade->v6, &network->masquerade6)));
}

static void set_flag(struct network *network, enum network_flag flag, bool on)
{
	network->flags = on ? network->flags | flag : network->flags & ~flag;
}

/* An address of the host for one family, or all zero. */
static int check_masquerade(const struct host *host, const struct network *network, const struct nsbpf_addr *addr,
			    enum network_flag routed, struct error *err)
{
	char text[ADDR_TEXT];

	if (addr_is_any(addr))
		return 0;
	if (network->flags & routed)
		return fail(err, EXIT_USAGE, "network %s is routed: nothing of it is masqueraded as %s", network->name,
			    addr_format(addr, text));
	if (host_address_kind(host, addr) == HOST_ADDRESS_GATEWAY)
		return fail(err, EXIT_USAGE, "%s is the gateway of a network: nobody outside knows it",
			    addr_format(addr, text));
	return host_address_require(host, addr, err);
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
	if (check_masquerade(host, network, &spec->masquerade->v4, NETWORK_ROUTED4, err) ||
	    check_masquerade(host, network, &spec->masquerade->v6, NETWORK_ROUTED6, err))
		return -1;
	network->masquerade4 = spec->masquerade->v4;
	network->masquerade6 = spec->masquerade->v6;
	return 0;
}

/* Subnet and gateway of one family: those asked for, or what fits. */
static int settle_subnet4(const struct host *host, const struct network_spec *spec, struct network *network,
			  struct error *err)
{
	struct nsbpf_addr gateway = spec->gateway.v4;
	struct cidr subnet;

	if (spec->subnet4)
		subnet = *spec->subnet4;
	if (spec->subnet4 ? subnet4_check(host, spec->name, &subnet, err)
			  : subnet4_choose(host, spec->name, &subnet, err))
		return -1;
	if (addr_is_any(&gateway))
		gateway = cidr_nth(&subnet, 1);
	network->prefix4 = subnet.prefix - 96;
	network->subnet4 = addr_to4(&subnet.addr);
	network->mask4 = htonl(~0U << (32 - network->prefix4));
	network->gateway4 = addr_to4(&gateway);
	return subnet_check_gateway(&subnet, &gateway, err);
}

static int settle_subnet6(const struct host *host, const struct network_spec *spec, struct network *network,
			  struct error *err)
{
	struct cidr subnet;

	if (spec->subnet6)
		subnet = *spec->subnet6;
	if (spec->subnet6 ? subnet6_check(host, spec->name, &subnet, err)
			  : subnet6_choose(host, spec->name, &subnet, err))
		return -1;
	network->prefix6 = subnet.prefix;
	network->subnet6 = subnet.addr;
	network->mask6 = cidr_mask(subnet.prefix);
	network->gateway6 = addr_is_any(&spec->gateway.v6) ? cidr_nth(&subnet, 1) : spec->gateway.v6;
	return subnet_check_gateway(&subnet, &network->gateway6, err);
}

int network_add(struct host *host, const struct network_spec *spec, struct error *err)
{
	struct network network, new = { 0 };
	int slot = network_find(host, spec->name, &network);

	if (slot >= 0 && network.state == SLOT_READY) {
		if (matches(&network, spec))
			return 0;
		return fail(err, EXIT_CONFLICT, "network %s exists with other settings (see `nsbpf network list`)",
			    spec->name);
	}
	/* One that was being made or removed: what there is of it would be in its own way. */
	if (slot >= 0 && network_delete_routes(host, &network, err))
		return -1;
	if (slot < 0)
		slot = find_free_slot(host);
	if (slot < 0)
		return fail(err, EXIT_SYSTEM, "there is room for %d networks only", NSBPF_MAX_NETWORKS - 1);

	strcpy(new.name, spec->name);
	if (spec->routed)
		new.flags = *spec->routed;
	if (settle_subnet4(host, spec, &new, err) || settle_subnet6(host, spec, &new, err) ||
	    apply_options(host, &new, spec, err))
		return -1;
	return make(host, slot, &new, err) ? -1 : 1;
}

struct network_members {
	const struct host *host;
	unsigned int network;
};

/* Did it begin outside, by a NAT port of the network? */
static bool came_by_nat_port(const struct conn *conn, const void *arg)
{
	const struct network_members *members = arg;

	return conn->target_ports && members->host->endpoints[conn->targets[DIR_ORIGINAL]].network == members->network;
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
	int slot = network_find(host, name, &network);

	if (slot < 0)
		return 0;
	if (endpoint_find_in_network(host, slot, &member) >= 0)
		return fail(err, EXIT_CONFLICT, "network %s is in use by endpoint %s", name, member.name);
	network.state = SLOT_INCOMPLETE;
	if (write_network(host, slot, &network, err) || network_delete_routes(host, &network, err))
		return -1;
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
