/* SPDX-License-Identifier: GPL-2.0-only */
/* Making, changing and removing networks. */
#include "networks.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "endpoints.h"
#include "uplinks.h"

/* Where a subnet is looked for: 10.80.0.0/16, 10.81.0.0/16, ... around the whole of 10.0.0.0/8. */
#define AUTO_FIRST 80
#define AUTO_PREFIX 16

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

/* Whatever of the host overlaps a subnet: a route or another network. */
struct overlap {
	const struct cidr *subnet;
	const char *ignore; /* the network that the subnet is for */
	char with[128];
};

static int route_overlaps(const struct route *route, void *arg)
{
	struct overlap *overlap = arg;
	struct cidr cidr = { .addr = route->dst, .prefix = 96 + route->prefix };
	char text[CIDR_TEXT];

	/* A default route is everybody's, and our own routes stand for networks, which are compared below. */
	if (!route->prefix || route->protocol == ROUTE_PROTOCOL || !cidr_overlaps(&cidr, overlap->subnet))
		return 0;
	snprintf(overlap->with, sizeof(overlap->with), "the host's route to %s", cidr_format(&cidr, text));
	return 1;
}

static int network_overlaps(unsigned int slot, const struct network *network, void *arg)
{
	struct overlap *overlap = arg;
	struct cidr cidr = network_subnet(network);
	char text[CIDR_TEXT];

	(void)slot;
	if (!strcmp(network->name, overlap->ignore) || !cidr_overlaps(&cidr, overlap->subnet))
		return 0;
	snprintf(overlap->with, sizeof(overlap->with), "network %s (%s)", network->name, cidr_format(&cidr, text));
	return 1;
}

/* 1 with overlap->with filled in, 0, or -errno. */
static int find_overlap(const struct host *host, struct overlap *overlap)
{
	int ret = network_each(host, network_overlaps, overlap);

	return ret ? ret : route_each(host->nl, AF_INET, route_overlaps, overlap);
}

static int choose_subnet(const struct host *host, const char *name, struct cidr *subnet, struct error *err)
{
	struct overlap overlap = { .subnet = subnet, .ignore = name };
	int ret;

	for (unsigned int i = 0; i < 256; i++) {
		*subnet = (struct cidr){
			.addr = addr_from4(htonl(10U << 24 | ((AUTO_FIRST + i) % 256) << 16)),
			.prefix = 96 + AUTO_PREFIX,
		};
		ret = find_overlap(host, &overlap);
		if (ret < 0)
			return fail(err, EXIT_SYSTEM, "cannot list the host's routes: %s", strerror(-ret));
		if (!ret)
			return 0;
	}
	return fail(err, EXIT_CONFLICT, "no /16 of 10.0.0.0/8 is free of the host's routes: give network %s a --subnet",
		    name);
}

static int check_subnet(const struct host *host, const char *name, const struct cidr *subnet, struct error *err)
{
	struct overlap overlap = { .subnet = subnet, .ignore = name };
	char text[CIDR_TEXT];
	int ret;

	cidr_format(subnet, text);
	if (!addr_is4(&subnet->addr) || subnet->prefix < 96)
		return fail(err, EXIT_USAGE, "subnet %s: an IPv4 one is needed", text);
	if (cidr_has_host_bits(subnet))
		return fail(err, EXIT_USAGE, "subnet %s has bits set behind its prefix", text);
	if (subnet->prefix < 96 + 8 || subnet->prefix > 96 + 30)
		return fail(err, EXIT_USAGE, "subnet %s: the prefix length must be from 8 to 30", text);
	if (addr_is_loopback(&subnet->addr) || ntohl(addr_to4(&subnet->addr)) >> 28 >= 14 ||
	    ntohl(addr_to4(&subnet->addr)) >> 24 == 0)
		return fail(err, EXIT_USAGE, "subnet %s holds no unicast addresses", text);
	ret = find_overlap(host, &overlap);
	if (ret < 0)
		return fail(err, EXIT_SYSTEM, "cannot list the host's routes: %s", strerror(-ret));
	if (ret)
		return fail(err, EXIT_CONFLICT, "subnet %s overlaps %s", text, overlap.with);
	return 0;
}

static int check_gateway(const struct cidr *subnet, const struct nsbpf_addr *gateway, struct error *err)
{
	__u32 base = ntohl(addr_to4(&subnet->addr)), hosts = ~0U >> (subnet->prefix - 96);
	char text[ADDR_TEXT], subnet_text[CIDR_TEXT];

	if (!cidr_contains(subnet, gateway) || addr_to4(gateway) == htonl(base) ||
	    addr_to4(gateway) == htonl(base + hosts))
		return fail(err, EXIT_USAGE, "gateway %s is no host address of subnet %s", addr_format(gateway, text),
			    cidr_format(subnet, subnet_text));
	return 0;
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
	       (!spec->isolate || *spec->isolate == !(network->flags & NETWORK_OPEN));
}

static void apply_options(struct network *network, const struct network_spec *spec)
{
	if (spec->mtu)
		network->mtu = *spec->mtu;
	if (spec->isolate)
		network->flags = *spec->isolate ? network->flags & ~NETWORK_OPEN : network->flags | NETWORK_OPEN;
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
		if (check_subnet(host, spec->name, &subnet, err))
			return -1;
	} else if (choose_subnet(host, spec->name, &subnet, err)) {
		return -1;
	}
	gateway = spec->gateway ? *spec->gateway : addr_from4(htonl(ntohl(addr_to4(&subnet.addr)) + 1));
	if (check_gateway(&subnet, &gateway, err))
		return -1;

	strcpy(new.name, spec->name);
	new.prefix4 = subnet.prefix - 96;
	new.subnet4 = addr_to4(&subnet.addr);
	new.mask4 = htonl(~0U << (32 - new.prefix4));
	new.gateway4 = addr_to4(&gateway);
	apply_options(&new, spec);
	return make(host, slot, &new, err) ? -1 : 1;
}

int network_set(struct host *host, const struct network_spec *spec, struct error *err)
{
	struct network network;
	int slot = network_find(host, spec->name, &network);

	if (slot < 0 || network.state != SLOT_READY)
		return fail(err, EXIT_MISSING, "no network %s", spec->name);
	if (matches(&network, spec))
		return 0;
	apply_options(&network, spec);
	return write_network(host, slot, &network, err) ? -1 : 1;
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
