/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding, attaching and listing uplinks. */
#include "uplinks.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_arp.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "addr.h"
#include "datapath.h"

int uplink_each(const struct host *host, int (*each)(__u32 ifindex, const struct uplink *uplink, void *arg), void *arg)
{
	int map = host->maps[MAP_UPLINKS], ret = 0;
	__u32 keys[NSBPF_MAX_UPLINKS], key, *previous = NULL;
	unsigned int count = 0;
	struct uplink uplink;

	/* The keys first: each() may delete. */
	while (count < NSBPF_MAX_UPLINKS && !bpf_map_get_next_key(map, previous, &key)) {
		keys[count++] = key;
		previous = &keys[count - 1];
	}
	for (unsigned int i = 0; i < count && !ret; i++)
		if (!bpf_map_lookup_elem(map, &keys[i], &uplink))
			ret = each(keys[i], &uplink, arg);
	return ret;
}

static int write_uplink(const struct host *host, __u32 ifindex, const struct uplink *uplink, struct error *err)
{
	if (bpf_map_update_elem(host->maps[MAP_UPLINKS], &ifindex, uplink, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot note uplink %s: %s", uplink->name, strerror(errno));
	return 0;
}

/*
 * The record comes first, so that whatever is attached is known even if we are killed in between; and attaching is
 * repeated for a record that is there, because then we may have been.
 */
static int attach(struct host *host, const struct link *link, struct uplink *uplink, struct error *err)
{
	int clsact = host->settings->features & FEATURE_TCX ? 1 : clsact_exists(host->nl, link->ifindex);

	if (clsact < 0)
		return fail(err, EXIT_SYSTEM, "cannot look at uplink %s: %s", link->name, strerror(-clsact));
	if (!clsact)
		uplink->flags |= UPLINK_CLSACT_QDISC;
	strcpy(uplink->name, link->name);
	if (write_uplink(host, link->ifindex, uplink, err))
		return -1;
	return datapath_attach(host, link->ifindex, HOOK_FROM_UPLINK, err);
}

static int detach(struct host *host, __u32 ifindex, const struct uplink *uplink, struct error *err)
{
	int ret = datapath_detach(host, ifindex, HOOK_FROM_UPLINK, uplink->flags & UPLINK_CLSACT_QDISC);

	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot detach from uplink %s: %s", uplink->name, strerror(-ret));
	bpf_map_delete_elem(host->maps[MAP_UPLINKS], &ifindex);
	return 0;
}

bool uplink_is_possible(const struct link *link)
{
	unsigned int slot = link->ifindex - NSBPF_IFINDEX_BASE;

	return link->type == ARPHRD_ETHER && !(link->flags & IFF_LOOPBACK) && slot >= NSBPF_MAX_ENDPOINTS;
}

struct refreshing {
	struct host *host;
	struct error *err;
	struct best {
		__u32 ifindex;
		unsigned int metric; /* of its route */
	} best4, best6;
};

/* The one with the best route of the main table. */
static void consider_default(struct best *best, const struct route *route)
{
	if (route->table != RT_TABLE_MAIN || (best->ifindex && route->metric >= best->metric))
		return;
	best->ifindex = route->ifindex;
	best->metric = route->metric;
}

static int attach_default_route(const struct route *route, void *arg)
{
	struct refreshing *r = arg;
	struct uplink uplink = { 0 };
	struct link link;

	if (route->prefix || !route->ifindex)
		return 0;
	if (bpf_map_lookup_elem(r->host->maps[MAP_UPLINKS], &route->ifindex, &uplink)) {
		if (link_get_index(r->host->nl, route->ifindex, &link) || !uplink_is_possible(&link))
			return 0;
		if (attach(r->host, &link, &uplink, r->err))
			return -1;
	}
	consider_default(addr_is4(&route->dst) ? &r->best4 : &r->best6, route);
	return 0;
}

/* One on record: gone, or to be seen to. */
static int refresh_uplink(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct refreshing *r = arg;
	struct uplink copy = *uplink;
	struct link link;
	int ret = link_get_index(r->host->nl, ifindex, &link);

	if (ret == -ENODEV)
		return detach(r->host, ifindex, uplink, r->err);
	if (ret)
		return fail(r->err, EXIT_SYSTEM, "cannot look at uplink %s: %s", uplink->name, strerror(-ret));
	return attach(r->host, &link, &copy, r->err);
}

/* Nobody outside answers to a unique local address: any other is better. */
static bool is_ula(const struct nsbpf_addr *addr)
{
	return (addr->bytes[0] & 0xfe) == 0xfc;
}

static int consider_primary(const struct link_addr *addr, void *arg)
{
	const unsigned int unfit = addr_is4(&addr->addr)
					   ? IFA_F_SECONDARY
					   : IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_TEMPORARY | IFA_F_DADFAILED;
	struct addr_pair *primary = arg;

	if (addr->scope != RT_SCOPE_UNIVERSE || addr->flags & unfit)
		return 0;
	if (addr_is4(&addr->addr) && addr_is_any(&primary->v4))
		primary->v4 = addr->addr;
	else if (!addr_is4(&addr->addr) &&
		 (addr_is_any(&primary->v6) || (is_ula(&primary->v6) && !is_ula(&addr->addr))))
		primary->v6 = addr->addr;
	return 0;
}

int uplink_addresses(const struct host *host, __u32 ifindex, struct addr_pair *addresses)
{
	struct addr_pair primary = { 0 };
	int ret = addr_each(host->nl, ifindex, consider_primary, &primary);

	if (!ret)
		*addresses = primary;
	return ret;
}

static int note_addresses_of(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct refreshing *r = arg;
	struct addr_pair primary = { 0 };
	struct uplink copy = *uplink;
	int ret = uplink_addresses(r->host, ifindex, &primary);

	if (ret && ret != -ENODEV)
		return fail(r->err, EXIT_SYSTEM, "cannot list addresses: %s", strerror(-ret));
	if (copy.addr4 == addr_to4(&primary.v4) && addr_equal(&copy.addr6, &primary.v6))
		return 0;
	copy.addr4 = addr_to4(&primary.v4);
	copy.addr6 = primary.v6;
	return write_uplink(r->host, ifindex, &copy, r->err);
}

static int note_addresses(struct host *host, struct error *err)
{
	return uplink_each(host, note_addresses_of, &(struct refreshing){ .host = host, .err = err });
}

int uplinks_refresh(struct host *host, struct error *err)
{
	struct refreshing r = { .host = host, .err = err };
	int ret;

	/* Our own failures are -1 and in err already, those of the listing are -errno. */
	ret = uplink_each(host, refresh_uplink, &r);
	if (ret)
		return -1;
	ret = route_each(host->nl, AF_INET, RTN_UNICAST, attach_default_route, &r);
	if (!ret)
		ret = route_each(host->nl, AF_INET6, RTN_UNICAST, attach_default_route, &r);
	if (ret && ret != -1)
		return fail(err, EXIT_SYSTEM, "cannot list routes: %s", strerror(-ret));
	if (ret || note_addresses(host, err))
		return -1;
	host->settings->default_uplink = r.best4.ifindex;
	host->settings->default_uplink6 = r.best6.ifindex;
	return 0;
}

int uplink_add(struct host *host, const char *name, struct error *err)
{
	struct uplink uplink = { 0 };
	struct link link;

	if (strlen(name) >= IFNAMSIZ || link_get(host->nl, name, &link))
		return fail(err, EXIT_MISSING, "no device %s on this host", name);
	if (!uplink_is_possible(&link))
		return fail(err, EXIT_SYSTEM, "%s cannot be an uplink: %s", name,
			    link.type == ARPHRD_ETHER ? "it is a host veth of nsbpf" : "it is no Ethernet device");
	if (!bpf_map_lookup_elem(host->maps[MAP_UPLINKS], &link.ifindex, &uplink) && uplink.flags & UPLINK_NAMED)
		return 0;
	uplink.flags |= UPLINK_NAMED;
	return attach(host, &link, &uplink, err) || note_addresses(host, err) ? -1 : 1;
}

struct by_name {
	const char *name;
	__u32 ifindex;
	struct uplink uplink;
};

static int match_name(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct by_name *wanted = arg;

	if (strcmp(uplink->name, wanted->name))
		return 0;
	wanted->ifindex = ifindex;
	wanted->uplink = *uplink;
	return 1;
}

/* By the name that it has now; by the one on record if there is no such device (any more). */
static bool find(struct host *host, struct by_name *wanted)
{
	struct link link;

	if (strlen(wanted->name) >= IFNAMSIZ || link_get(host->nl, wanted->name, &link))
		return uplink_each(host, match_name, wanted);
	wanted->ifindex = link.ifindex;
	return !bpf_map_lookup_elem(host->maps[MAP_UPLINKS], &link.ifindex, &wanted->uplink);
}

int uplink_delete(struct host *host, const char *name, struct error *err)
{
	struct by_name wanted = { .name = name };

	if (!find(host, &wanted))
		return 0;
	return detach(host, wanted.ifindex, &wanted.uplink, err) ? -1 : 1;
}

static int is_default_route(const struct route *route, void *arg)
{
	const struct by_name *wanted = arg;

	return !route->prefix && route->ifindex == wanted->ifindex;
}

int uplink_unname(struct host *host, const char *name, struct error *err)
{
	struct by_name wanted = { .name = name };
	int ret;

	if (!find(host, &wanted) || !(wanted.uplink.flags & UPLINK_NAMED))
		return 0;
	ret = route_each(host->nl, AF_INET, RTN_UNICAST, is_default_route, &wanted);
	if (!ret)
		ret = route_each(host->nl, AF_INET6, RTN_UNICAST, is_default_route, &wanted);
	if (ret < 0)
		return fail(err, EXIT_SYSTEM, "cannot list routes: %s", strerror(-ret));
	if (!ret)
		return detach(host, wanted.ifindex, &wanted.uplink, err) ? -1 : 1;
	wanted.uplink.flags &= ~UPLINK_NAMED;
	return write_uplink(host, wanted.ifindex, &wanted.uplink, err) ? -1 : 1;
}

static int detach_one(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct refreshing *r = arg;

	return detach(r->host, ifindex, uplink, r->err);
}

int uplinks_delete_all(struct host *host, struct error *err)
{
	struct refreshing r = { .host = host, .err = err };

	return uplink_each(host, detach_one, &r);
}

struct smallest {
	const struct host *host;
	unsigned int mtu;
};

static int smaller_mtu(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct smallest *smallest = arg;
	struct link link;

	(void)uplink;
	if (!link_get_index(smallest->host->nl, ifindex, &link) && (!smallest->mtu || link.mtu < smallest->mtu))
		smallest->mtu = link.mtu;
	return 0;
}

unsigned int uplinks_mtu(const struct host *host)
{
	struct smallest smallest = { .host = host };

	uplink_each(host, smaller_mtu, &smallest);
	return smallest.mtu ? smallest.mtu : 1500;
}

bool uplinks_exist(const struct host *host)
{
	__u32 key;

	return !bpf_map_get_next_key(host->maps[MAP_UPLINKS], NULL, &key);
}
