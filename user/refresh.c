/* SPDX-License-Identifier: GPL-2.0-only */
/* Brings the datapath's view of the host up to date. */
#include "refresh.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "cleanup.h"
#include "uplinks.h"

void nat_port_ranges(unsigned int local_first, unsigned int local_last, struct port_range ranges[2])
{
	static const struct port_range empty = { 1, 0 };

	ranges[0] = ranges[1] = empty;
	if (local_first > 1024)
		ranges[0] = (struct port_range){ 1024, local_first - 1 };
	if (local_last < 65535)
		ranges[1] = (struct port_range){ local_last < 1024 ? 1024 : local_last + 1, 65535 };
	if (local_first <= 1024 && local_last >= 65535)
		ranges[0] = (struct port_range){ 1024, 65535 };
}

static int refresh_nat_ports(struct host *host, struct error *err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	struct port_range ranges[2];
	unsigned int first, last;

	if (!f || fscanf(f, "%u %u", &first, &last) != 2)
		return fail(err, EXIT_SYSTEM, "cannot read net.ipv4.ip_local_port_range");
	nat_port_ranges(first, last, ranges);
	/* Packets take their ports from there meanwhile. */
	host->settings->nat_ports[0] = ranges[0];
	host->settings->nat_ports[1] = ranges[1];
	return 0;
}

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

	if ((route->type != RTN_LOCAL && route->type != RTN_BROADCAST) || route->prefix != 32 ||
	    address_in(set, &route->dst))
		return 0;
	if (set->count == NSBPF_MAX_HOST_ADDRESSES)
		return -ENOSPC;
	set->kinds[set->count] = route->type == RTN_LOCAL ? HOST_ADDRESS_LOCAL : HOST_ADDRESS_BROADCAST;
	set->addrs[set->count++] = route->dst;
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

static int refresh_addresses(struct host *host, struct error *err)
{
	_cleanup_free_ struct address_set *set = calloc(1, sizeof(*set));
	int map = host->maps[MAP_HOST_ADDRESSES];
	int ret;

	if (!set)
		return fail(err, EXIT_SYSTEM, "out of memory");
	ret = route_each(host->nl, AF_INET, address_collect, set);
	if (!ret)
		ret = addresses_delete_others(map, set);
	if (!ret)
		ret = addresses_add(map, set);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot bring the host's addresses up to date: %s", strerror(-ret));
	return 0;
}

/* See route_lookup() in bpf/route.h. */
static int refresh_forwarding(struct host *host, struct error *err)
{
	int ret = link_set_forwarding(host->nl, LOOPBACK_IFINDEX, true);

	return ret ? fail(err, EXIT_SYSTEM, "cannot set net.ipv4.conf.lo.forwarding: %s", strerror(-ret)) : 0;
}

int refresh(struct host *host, struct error *err)
{
	return refresh_forwarding(host, err) || refresh_nat_ports(host, err) || refresh_addresses(host, err) ||
			       uplinks_refresh(host, err)
		       ? -1
		       : 0;
}
