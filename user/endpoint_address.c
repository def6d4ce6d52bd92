/* SPDX-License-Identifier: GPL-2.0-only */
/* Which addresses an endpoint gets, and the map that the datapath finds it by. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "endpoint_internal.h"
#include "ipv6.h"

int endpoint_note_address(struct host *host, unsigned int slot, const struct nsbpf_addr *addr)
{
	if (addr_is_any(addr))
		return 0;
	return bpf_map_update_elem(host->maps[MAP_ADDRESSES], addr, &slot, BPF_ANY) ? -errno : 0;
}

int endpoint_forget_address(struct host *host, const struct nsbpf_addr *addr)
{
	return bpf_map_delete_elem(host->maps[MAP_ADDRESSES], addr) && errno != ENOENT ? -errno : 0;
}

/* Is there an endpoint that has the address? */
static bool address_holder(const struct host *host, const struct nsbpf_addr *addr, struct endpoint *holder)
{
	__u32 slot;

	return !bpf_map_lookup_elem(host->maps[MAP_ADDRESSES], addr, &slot) && !endpoint_get(host, slot, holder);
}

/* Where an endpoint's address of one family may come from. */
struct pool {
	const char *network;
	struct cidr subnet;
	struct nsbpf_addr gateway;
};

static int check_address(const struct host *host, const struct pool *pool, const struct nsbpf_addr *addr,
			 struct error *err)
{
	char text[ADDR_TEXT], subnet[CIDR_TEXT];
	struct endpoint holder;

	addr_format(addr, text);
	if (!cidr_has_host(&pool->subnet, addr))
		return fail(err, EXIT_USAGE, "%s is no host address of network %s (%s)", text, pool->network,
			    cidr_format(&pool->subnet, subnet));
	if (addr_equal(addr, &pool->gateway))
		return fail(err, EXIT_CONFLICT, "%s is the gateway of network %s", text, pool->network);
	if (address_holder(host, addr, &holder))
		return fail(err, EXIT_CONFLICT, "%s is the address of endpoint %s", text, holder.name);
	return 0;
}

static bool is_free(const struct host *host, const struct pool *pool, const struct nsbpf_addr *addr)
{
	struct endpoint holder;

	return !addr_equal(addr, &pool->gateway) && !address_holder(host, addr, &holder);
}

/* Those who have an address of the pool can't hold all of the lowest numbers, if there are more of these than of them.
 * The gateway is one of them. */
#define LOWEST_NUMBERS (NSBPF_MAX_ENDPOINTS + 1)

struct numbers {
	const struct pool *pool;
	bool taken[LOWEST_NUMBERS + 1]; /* 0 is nobody's */
};

static void take(struct numbers *numbers, const struct nsbpf_addr *addr)
{
	const struct cidr *subnet = &numbers->pool->subnet;
	__u32 number = ntohl(addr->words[3] ^ subnet->addr.words[3]);

	if (number <= LOWEST_NUMBERS && cidr_contains(subnet, addr))
		numbers->taken[number] = true;
}

static int take_addresses(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct addr_pair addresses = endpoint_addresses(endpoint);

	(void)slot;
	take(arg, &addresses.v4);
	take(arg, &addresses.v6);
	return 0;
}

/* The one with the preferred number (0: none is) or, if it is not free, the lowest. */
static int choose_address(const struct host *host, const struct pool *pool, __u32 preferred, struct nsbpf_addr *addr,
			  struct error *err)
{
	struct numbers numbers = { .pool = pool };
	__u32 last = cidr_last(&pool->subnet);
	char subnet[CIDR_TEXT];

	*addr = cidr_nth(&pool->subnet, preferred);
	if (preferred && preferred <= last && is_free(host, pool, addr))
		return 0;
	endpoint_each(host, take_addresses, &numbers);
	take(&numbers, &pool->gateway);
	for (__u32 i = 1; i <= last && i <= LOWEST_NUMBERS; i++) {
		if (numbers.taken[i])
			continue;
		*addr = cidr_nth(&pool->subnet, i);
		return 0;
	}
	return fail(err, EXIT_CONFLICT, "network %s (%s) has no free address", pool->network,
		    cidr_format(&pool->subnet, subnet));
}

static int settle_address4(const struct host *host, const struct network *network, const struct endpoint_spec *spec,
			   struct endpoint *endpoint, struct error *err)
{
	struct pool pool = { network->name, network_subnet4(network), addr_from4(network->gateway4) };
	struct nsbpf_addr addr = spec->ip.v4;

	if (addr_is_any(&addr) ? choose_address(host, &pool, 0, &addr, err) : check_address(host, &pool, &addr, err))
		return -1;
	endpoint->addr4 = addr_to4(&addr);
	return 0;
}

int endpoint_without_ipv6(struct endpoint_spec *spec, const char *why, struct error *err)
{
	char text[ADDR_TEXT];

	if (spec->ip6_wanted)
		return fail(err, EXIT_SYSTEM, "%s cannot have %s: %s", spec->name, addr_format(&spec->ip.v6, text),
			    why);
	spec->without_ipv6 = why;
	return 0;
}

/* The same number as in IPv4, if that can be: easier to remember. */
static int settle_address6(const struct host *host, const struct network *network, struct endpoint_spec *spec,
			   struct endpoint *endpoint, struct error *err)
{
	struct pool pool = { network->name, network_subnet6(network), network->gateway6 };
	const char *missing = ipv6_missing();

	if (!missing && endpoint->mtu < IPV6_MIN_MTU)
		missing = "its MTU is less than 1280";
	if (missing)
		return endpoint_without_ipv6(spec, missing, err);
	if (addr_is_any(&spec->ip.v6))
		return choose_address(host, &pool, ntohl(endpoint->addr4 & ~network->mask4), &endpoint->addr6, err);
	endpoint->addr6 = spec->ip.v6;
	return check_address(host, &pool, &endpoint->addr6, err);
}

int endpoint_choose_addresses(const struct host *host, const struct network *network, struct endpoint_spec *spec,
			      struct endpoint *endpoint, struct error *err)
{
	return settle_address4(host, network, spec, endpoint, err) ||
			       settle_address6(host, network, spec, endpoint, err)
		       ? -1
		       : 0;
}
