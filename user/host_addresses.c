/* SPDX-License-Identifier: GPL-2.0-only */
/* Brings the map of the host's addresses up to date, and looks into it. */
#include "host_addresses.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "addr.h"
#include "cleanup.h"
#include "map_walk.h"
#include "networks.h"

/* From the FIB's local table, which has the broadcast addresses as well. Every address once: the gateway's is on each
 * host veth. */
struct address_set {
	struct nsbpf_addr addrs[NSBPF_MAX_HOST_ADDRESSES];
	__u8 kinds[NSBPF_MAX_HOST_ADDRESSES]; /* enum host_address */
	unsigned int count;
};

static bool address_in(const struct address_set *set, const struct nsbpf_addr *addr)
{
	for (unsigned int i = 0; i < set->count; i++)
		if (addr_equal(&set->addrs[i], addr))
			return true;
	return false;
}

static int address_collect(const struct route *route, void *arg)
{
	struct address_set *set = arg;

	if (route->prefix != (addr_is4(&route->dst) ? 32 : 128) || address_in(set, &route->dst))
		return 0;
	if (set->count == NSBPF_MAX_HOST_ADDRESSES)
		return -ENOSPC;
	set->kinds[set->count] = route->type == RTN_LOCAL ? HOST_ADDRESS_LOCAL : HOST_ADDRESS_BROADCAST;
	set->addrs[set->count++] = route->dst;
	return 0;
}

static void mark_gateway(struct address_set *set, const struct nsbpf_addr *gateway)
{
	for (unsigned int i = 0; i < set->count; i++)
		if (addr_equal(&set->addrs[i], gateway))
			set->kinds[i] = HOST_ADDRESS_GATEWAY;
}

static int mark_gateways(unsigned int slot, const struct network *network, void *arg)
{
	struct nsbpf_addr gateway4 = addr_from4(network->gateway4);

	(void)slot;
	mark_gateway(arg, &gateway4);
	mark_gateway(arg, &network->gateway6);
	return 0;
}

static int addresses_delete_others(int map, const struct address_set *set)
{
	struct nsbpf_addr kept, next, *previous = NULL;

	while (!bpf_map_get_next_key(map, previous, &next)) {
		if (address_in(set, &next)) {
			/* The walk goes on from a key that stays: from a deleted one it would start again. */
			kept = next;
			previous = &kept;
		} else if (bpf_map_delete_elem(map, &next)) {
			return -errno;
		}
	}
	return 0;
}

static int addresses_add(int map, const struct address_set *set)
{
	for (unsigned int i = 0; i < set->count; i++)
		if (bpf_map_update_elem(map, &set->addrs[i], &set->kinds[i], BPF_ANY))
			return -errno;
	return 0;
}

static int addresses_collect(const struct host *host, struct address_set *set)
{
	int ret = route_each(host->nl, AF_INET, RTN_LOCAL, address_collect, set);

	if (!ret)
		ret = route_each(host->nl, AF_INET, RTN_BROADCAST, address_collect, set);
	if (!ret)
		ret = route_each(host->nl, AF_INET6, RTN_LOCAL, address_collect, set);
	return ret ? ret : network_each(host, mark_gateways, set);
}

int host_addresses_refresh(struct host *host, struct error *err)
{
	_cleanup_free_ struct address_set *set = calloc(1, sizeof(*set));
	int map = host->maps[MAP_HOST_ADDRESSES];
	int ret;

	if (!set)
		return fail(err, EXIT_SYSTEM, "out of memory");
	ret = addresses_collect(host, set);
	if (!ret)
		ret = addresses_delete_others(map, set);
	if (!ret)
		ret = addresses_add(map, set);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot bring the host's addresses up to date: %s", strerror(-ret));
	return 0;
}

struct differing {
	const struct address_set *set;
	int (*each)(const struct nsbpf_addr *addr, bool missing, void *arg);
	void *arg;
};

static int find_superfluous(const void *key, const void *value, void *arg)
{
	const struct differing *d = arg;

	(void)value;
	return address_in(d->set, key) ? 0 : d->each(key, false, d->arg);
}

int host_addresses_differing(const struct host *host,
			     int (*each)(const struct nsbpf_addr *addr, bool missing, void *arg), void *arg)
{
	_cleanup_free_ struct address_set *set = calloc(1, sizeof(*set));
	struct differing d = { set, each, arg };
	int ret = set ? addresses_collect(host, set) : -ENOMEM;

	for (unsigned int i = 0; !ret && i < set->count; i++)
		if (host_address_kind(host, &set->addrs[i]) != set->kinds[i])
			ret = each(&set->addrs[i], true, arg);
	return ret ? ret
		   : map_walk(host->maps[MAP_HOST_ADDRESSES], sizeof(struct nsbpf_addr), sizeof(__u8), find_superfluous,
			      &d);
}

int host_gateway_add(struct host *host, const struct nsbpf_addr *addr)
{
	__u8 kind = HOST_ADDRESS_GATEWAY;

	return bpf_map_update_elem(host->maps[MAP_HOST_ADDRESSES], addr, &kind, BPF_ANY) ? -errno : 0;
}

int host_address_kind(const struct host *host, const struct nsbpf_addr *addr)
{
	__u8 kind;

	return bpf_map_lookup_elem(host->maps[MAP_HOST_ADDRESSES], addr, &kind) ? 0 : kind;
}

int host_address_require(const struct host *host, const struct nsbpf_addr *addr, struct error *err)
{
	int kind = host_address_kind(host, addr);
	char text[ADDR_TEXT];

	if (kind && kind != HOST_ADDRESS_BROADCAST)
		return 0;
	return fail(err, EXIT_MISSING, "%s is no address of this host", addr_format(addr, text));
}
