/* SPDX-License-Identifier: GPL-2.0-only */
/* The inside of an endpoint. */
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "check_internal.h"

/* Any: one by another gateway is the choice of whoever has made it. */
static int match_default_route(const struct route *route, void *arg)
{
	(void)arg;
	return !route->prefix && route->table == RT_TABLE_MAIN;
}

static void check_address(struct check *check, struct nl *nl, const struct link_addr *wanted)
{
	struct link_addr copy = *wanted;
	char what[CHECK_TEXT], text[ADDR_TEXT];

	if (addr_each(nl, wanted->ifindex, check_match_addr, &copy))
		return;
	snprintf(what, sizeof(what), "address %s/%u of " NS_DEVICE, addr_format(&wanted->addr, text), wanted->prefix);
	if (check_differs(check, what, "there", "missing"))
		check_outcome(check, addr_add(nl, wanted, false));
}

static void check_default_route(struct check *check, struct nl *nl, int family, const struct route *wanted)
{
	char should[CHECK_TEXT], text[ADDR_TEXT];

	if (route_each(nl, family, RTN_UNSPEC, match_default_route, NULL))
		return;
	snprintf(should, sizeof(should), "via %s", addr_format(&wanted->gateway, text));
	if (check_differs(check, family == AF_INET ? "default route inside" : "IPv6 default route inside", should,
			  "missing"))
		check_outcome(check, route_add(nl, wanted));
}

static void check_family(struct check *check, struct nl *nl, const struct endpoint *endpoint,
			 const struct network *network, const struct link *device, int family)
{
	struct ways ways;

	if (!endpoint_ways(endpoint, network, family, &ways) || (family == AF_INET6 && !device->has_ipv6))
		return;
	ways.address.ifindex = ways.inside.ifindex = device->ifindex;
	check_address(check, nl, &ways.address);
	check_default_route(check, nl, family, &ways.inside);
}

void check_namespace(struct check *check, const struct endpoint *endpoint, const struct network *network, int ns_fd)
{
	_cleanup_nl_ struct nl *nl = NULL;
	struct link device = { 0 }, lo = { 0 };
	int ret = nl_open_at(&nl, ns_fd);

	if (ret) {
		check_differs(check, "namespace", "open to us", "%s", strerror(-ret));
		return;
	}
	if (!link_get_index(nl, LOOPBACK_IFINDEX, &lo) && !(lo.flags & IFF_UP) &&
	    check_differs(check, "device lo inside", "up", "down"))
		check_outcome(check, link_set_up(nl, LOOPBACK_IFINDEX));
	if (link_get(nl, NS_DEVICE, &device)) {
		check_differs(check, "device " NS_DEVICE " inside", "there", "gone or renamed");
		check_advise(check, "`nsbpf del %s` and `nsbpf add %s` make it anew", endpoint->name, endpoint->name);
		return;
	}
	check_device(check, nl, &device, endpoint->mac, endpoint->mtu);
	check_family(check, nl, endpoint, network, &device, AF_INET);
	check_family(check, nl, endpoint, network, &device, AF_INET6);
}
