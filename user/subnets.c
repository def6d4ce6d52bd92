/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding free subnets, and checking those that were asked for. */
#include "subnets.h"

#include <arpa/inet.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "networks.h"
#include "ula.h"

/* Where an IPv4 subnet is looked for: 10.80.0.0/16, 10.81.0.0/16, ... around the whole of 10.0.0.0/8. */
#define AUTO_FIRST 80
#define AUTO_PREFIX 16

/* Whatever of the host overlaps a subnet: a route or another network. */
struct overlap {
	const struct cidr *subnet;
	const char *ignore;        /* the network that the subnet is for */
	unsigned int least_prefix; /* shorter routes are no overlap */
	struct cidr cidr;
	char with[128];
};

static bool rejects(const struct route *route)
{
	return route->type == RTN_UNREACHABLE || route->type == RTN_BLACKHOLE || route->type == RTN_PROHIBIT;
}

static int route_overlaps(const struct route *route, void *arg)
{
	struct overlap *overlap = arg;
	struct cidr cidr = { .addr = route->dst, .prefix = route->prefix };
	char text[CIDR_TEXT];

	if (addr_is4(&route->dst))
		cidr.prefix += 96;
	/* A default route is everybody's, and our own routes stand for networks, which are compared below. */
	if (!route->prefix || route->protocol == ROUTE_PROTOCOL || cidr.prefix < overlap->least_prefix ||
	    !cidr_overlaps(&cidr, overlap->subnet))
		return 0;
	/* A route that keeps what nobody has from leaving by the default route, as a delegated prefix gets one, is
	 * there for subnets to be taken from. */
	if (rejects(route) && cidr.prefix < overlap->subnet->prefix)
		return 0;
	snprintf(overlap->with, sizeof(overlap->with), "the host's route to %s", cidr_format(&cidr, text));
	overlap->cidr = cidr;
	return 1;
}

static int network_overlaps(unsigned int slot, const struct network *network, void *arg)
{
	struct overlap *overlap = arg;
	struct cidr cidr = addr_is4(&overlap->subnet->addr) ? network_subnet4(network) : network_subnet6(network);
	char text[CIDR_TEXT];

	(void)slot;
	if (!strcmp(network->name, overlap->ignore) || addr_is_any(&cidr.addr) ||
	    !cidr_overlaps(&cidr, overlap->subnet))
		return 0;
	snprintf(overlap->with, sizeof(overlap->with), "network %s (%s)", network->name, cidr_format(&cidr, text));
	overlap->cidr = cidr;
	return 1;
}

/* 1 with overlap->with and ->cidr filled in, 0, or -1 with err. */
static int find_overlap(const struct host *host, struct overlap *overlap, struct error *err)
{
	int ret = network_each(host, network_overlaps, overlap);

	if (!ret)
		ret = route_each(host->nl, addr_is4(&overlap->subnet->addr) ? AF_INET : AF_INET6, RTN_UNSPEC,
				 route_overlaps, overlap);
	return ret < 0 ? fail(err, EXIT_SYSTEM, "cannot list the host's routes: %s", strerror(-ret)) : ret;
}

int subnet4_choose(const struct host *host, const char *name, struct cidr *subnet, struct error *err)
{
	struct overlap overlap = { .subnet = subnet, .ignore = name };

	for (unsigned int i = 0; i < 256; i++) {
		int ret;

		*subnet = (struct cidr){
			.addr = addr_from4(htonl(10U << 24 | ((AUTO_FIRST + i) % 256) << 16)),
			.prefix = 96 + AUTO_PREFIX,
		};
		ret = find_overlap(host, &overlap, err);
		if (ret <= 0)
			return ret;
	}
	return fail(err, EXIT_CONFLICT, "no /16 of 10.0.0.0/8 is free of the host's routes: give network %s a --subnet",
		    name);
}

int subnet6_choose(const struct host *host, const char *name, struct cidr *subnet, struct error *err)
{
	/* A route to more than our /48 is no sign of anybody in it: its 40 bits are nobody else's. */
	struct overlap overlap = { .subnet = subnet, .ignore = name, .least_prefix = ULA_SITE_PREFIX };
	struct nsbpf_addr site;
	__u16 id = ula_subnet_id(name);
	int ret = ula_site(host->nl, &site);

	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot list the host's devices: %s", strerror(-ret));
	for (unsigned int passed = 0, step; passed < 1 << (ULA_SUBNET_PREFIX - ULA_SITE_PREFIX); passed += step) {
		*subnet = ula_subnet(&site, id);
		ret = find_overlap(host, &overlap, err);
		if (ret <= 0)
			return ret;
		/* The first one behind all that it overlaps. */
		step = overlap.cidr.prefix < ULA_SUBNET_PREFIX ? 1 << (ULA_SUBNET_PREFIX - overlap.cidr.prefix) : 1;
		step -= id % step;
		id += step;
	}
	return fail(err, EXIT_CONFLICT, "no /64 of this host's own is free of its routes: give network %s a --subnet6",
		    name);
}

static int check_prefix(const struct cidr *subnet, unsigned int mapped, unsigned int shortest, unsigned int longest,
			struct error *err)
{
	char text[CIDR_TEXT];

	cidr_format(subnet, text);
	if (cidr_has_host_bits(subnet))
		return fail(err, EXIT_USAGE, "subnet %s has bits set behind its prefix", text);
	if (subnet->prefix < mapped + shortest || subnet->prefix > mapped + longest)
		return fail(err, EXIT_USAGE, "subnet %s: the prefix length must be from %u to %u", text, shortest,
			    longest);
	return 0;
}

static int check_overlap(const struct host *host, const char *name, const struct cidr *subnet, struct error *err)
{
	struct overlap overlap = { .subnet = subnet, .ignore = name };
	char text[CIDR_TEXT];
	int ret = find_overlap(host, &overlap, err);

	if (ret > 0)
		return fail(err, EXIT_CONFLICT, "subnet %s overlaps %s", cidr_format(subnet, text), overlap.with);
	return ret;
}

int subnet4_check(const struct host *host, const char *name, const struct cidr *subnet, struct error *err)
{
	__u32 first = ntohl(addr_to4(&subnet->addr));
	char text[CIDR_TEXT];

	cidr_format(subnet, text);
	if (!addr_is4(&subnet->addr))
		return fail(err, EXIT_USAGE, "subnet %s: an IPv4 one is needed (--subnet6 takes others)", text);
	if (check_prefix(subnet, 96, 8, 30, err))
		return -1;
	if (addr_is_loopback(&subnet->addr) || first >> 28 >= 14 || first >> 24 == 0)
		return fail(err, EXIT_USAGE, "subnet %s holds no unicast addresses", text);
	return check_overlap(host, name, subnet, err);
}

int subnet6_check(const struct host *host, const char *name, const struct cidr *subnet, struct error *err)
{
	char text[CIDR_TEXT];

	cidr_format(subnet, text);
	if (addr_is4(&subnet->addr))
		return fail(err, EXIT_USAGE, "subnet %s: an IPv6 one is needed (--subnet takes others)", text);
	if (check_prefix(subnet, 0, 48, 126, err))
		return -1;
	/* ::/8 has the unspecified and the loopback address, and forms of IPv4 ones; ff00::/8 is multicast. */
	if (subnet->addr.bytes[0] == 0 || subnet->addr.bytes[0] == 0xff || addr_is_link_local(&subnet->addr))
		return fail(err, EXIT_USAGE, "subnet %s holds no global unicast addresses", text);
	return check_overlap(host, name, subnet, err);
}

int subnet_check_gateway(const struct cidr *subnet, const struct nsbpf_addr *gateway, struct error *err)
{
	char text[ADDR_TEXT], subnet_text[CIDR_TEXT];

	if (cidr_has_host(subnet, gateway))
		return 0;
	return fail(err, EXIT_USAGE, "gateway %s is no host address of subnet %s", addr_format(gateway, text),
		    cidr_format(subnet, subnet_text));
}
