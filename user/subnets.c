/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding a free subnet, and checking one that was asked for. */
#include "subnets.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "networks.h"

/* Where a subnet is looked for: 10.80.0.0/16, 10.81.0.0/16, ... around the whole of 10.0.0.0/8. */
#define AUTO_FIRST 80
#define AUTO_PREFIX 16

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

int subnet_choose(const struct host *host, const char *name, struct cidr *subnet, struct error *err)
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

int subnet_check(const struct host *host, const char *name, const struct cidr *subnet, struct error *err)
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

int subnet_check_gateway(const struct cidr *subnet, const struct nsbpf_addr *gateway, struct error *err)
{
	__u32 base = ntohl(addr_to4(&subnet->addr)), hosts = ~0U >> (subnet->prefix - 96);
	char text[ADDR_TEXT], subnet_text[CIDR_TEXT];

	if (!cidr_contains(subnet, gateway) || addr_to4(gateway) == htonl(base) ||
	    addr_to4(gateway) == htonl(base + hosts))
		return fail(err, EXIT_USAGE, "gateway %s is no host address of subnet %s", addr_format(gateway, text),
			    cidr_format(subnet, subnet_text));
	return 0;
}
