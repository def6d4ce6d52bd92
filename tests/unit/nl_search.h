/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of the netlink layer: one address or route out of a listing. */
#ifndef NSBPF_NL_SEARCH_H
#define NSBPF_NL_SEARCH_H

#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include "netns_fixture.h"

struct addr_search {
	struct link_addr wanted;
	bool found;
	int on_device; /* how many the device has */
};

static inline int search_addr(const struct link_addr *addr, void *arg)
{
	struct addr_search *search = arg;

	if (addr->ifindex != search->wanted.ifindex)
		return 0;
	search->on_device++;
	if (addr_equal(&addr->addr, &search->wanted.addr)) {
		search->wanted = *addr;
		search->found = true;
	}
	return 0;
}

static inline struct addr_search find_addr(struct nl *where, unsigned int ifindex, const char *text)
{
	struct addr_search search = { .wanted = { .ifindex = ifindex, .addr = address(text) } };

	assert_int_equal(addr_each(where, 0, search_addr, &search), 0);
	return search;
}

struct route_search {
	struct route wanted; /* dst, prefix and table; then all of it */
	int hops;
	struct route all[4];
};

static inline int search_route(const struct route *route, void *arg)
{
	struct route_search *search = arg;

	if (route->prefix == search->wanted.prefix && route->table == search->wanted.table &&
	    addr_equal(&route->dst, &search->wanted.dst) && search->hops < 4)
		search->all[search->hops++] = *route;
	return 0;
}

static inline struct route_search find_route(struct nl *where, const char *dst, unsigned int prefix, unsigned int table)
{
	struct route_search search = { .wanted = { .dst = address(dst), .prefix = prefix, .table = table } };
	int family = addr_is4(&search.wanted.dst) ? AF_INET : AF_INET6;

	assert_int_equal(route_each(where, family, RTN_UNSPEC, search_route, &search), 0);
	return search;
}

#endif
