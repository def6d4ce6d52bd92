/* SPDX-License-Identifier: GPL-2.0-only */
/* Networks, uplinks and exposed ports. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "check_internal.h"
#include "datapath.h"
#include "ipv6.h"
#include "mappings.h"
#include "nsbpf/order.h"
#include "refresh.h"
#include "uplinks.h"

static int match_subnet(const struct route *route, void *arg)
{
	const struct cidr *subnet = arg;
	unsigned int prefix = addr_is4(&subnet->addr) ? subnet->prefix - 96 : subnet->prefix;

	return route->protocol == ROUTE_PROTOCOL && route->prefix == prefix && addr_equal(&route->dst, &subnet->addr);
}

static void check_subnet(struct check *check, const struct network *network, struct cidr subnet)
{
	int family = addr_is4(&subnet.addr) ? AF_INET : AF_INET6;
	char what[CHECK_TEXT], text[CIDR_TEXT];
	struct error err;

	if (route_each(check->host->nl, family, RTN_UNREACHABLE, match_subnet, &subnet))
		return;
	snprintf(what, sizeof(what), "unreachable route %s", cidr_format(&subnet, text));
	if (check_differs(check, what, "there", "missing"))
		check_outcome_of(check, network_add_routes(check->host, network, &err), &err);
}

static void check_gateway6(struct check *check, const struct network *network)
{
	struct link_addr wanted = { .addr = network->gateway6, .prefix = 128 };
	char what[CHECK_TEXT], text[ADDR_TEXT];
	struct error err;

	if (addr_each(check->host->nl, LOOPBACK_IFINDEX, check_match_addr, &wanted))
		return;
	snprintf(what, sizeof(what), "gateway %s on lo", addr_format(&network->gateway6, text));
	if (check_differs(check, what, "there", "missing"))
		check_outcome_of(check, network_add_routes(check->host, network, &err), &err);
}

static int check_network(unsigned int slot, const struct network *network, void *arg)
{
	struct check *check = arg;

	(void)slot;
	check_object(check, "network %s", network->name);
	check->looked_at.networks++;
	if (network->state != SLOT_READY) {
		check_differs(check, "record", "complete", "of a command that was interrupted");
		check_advise(check, "`nsbpf network add %s` or `nsbpf network del %s` finishes it", network->name,
			     network->name);
		return 0;
	}
	check_subnet(check, network, network_subnet4(network));
	if (addr_is_any(&network->gateway6) || ipv6_missing())
		return 0;
	check_subnet(check, network, network_subnet6(network));
	check_gateway6(check, network);
	return 0;
}

int check_networks(struct check *check, struct error *err)
{
	(void)err;
	return network_each(check->host, check_network, check);
}

static void refresh_uplinks(struct check *check)
{
	struct error err;

	check_outcome_of(check, uplinks_refresh(check->host, &err), &err);
}

static const char *format_addresses(const struct addr_pair *pair, char text[2 * ADDR_TEXT + 2])
{
	char v6[ADDR_TEXT];

	snprintf(text, 2 * ADDR_TEXT + 2, "none");
	if (!addr_is_any(&pair->v4))
		addr_format(&pair->v4, text);
	if (!addr_is_any(&pair->v6))
		snprintf(text + (addr_is_any(&pair->v4) ? 0 : strlen(text)), ADDR_TEXT + 2, "%s%s",
			 addr_is_any(&pair->v4) ? "" : ", ", addr_format(&pair->v6, v6));
	return text;
}

static void check_uplink_addresses(struct check *check, __u32 ifindex, const struct uplink *uplink)
{
	struct addr_pair is = { .v6 = uplink->addr6 }, should;
	char should_text[2 * ADDR_TEXT + 2], is_text[2 * ADDR_TEXT + 2];
	bool mend;

	if (uplink->addr4)
		is.v4 = addr_from4(uplink->addr4);
	if (uplink_addresses(check->host, ifindex, &should) ||
	    (addr_equal(&should.v4, &is.v4) && addr_equal(&should.v6, &is.v6)))
		return;
	mend = check_differs(check, "addresses in the datapath", format_addresses(&should, should_text), "%s",
			     format_addresses(&is, is_text));
	check_passes(check);
	if (mend)
		refresh_uplinks(check);
}

static int check_uplink(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	struct check *check = arg;
	struct link link;
	int ret = link_get_index(check->host->nl, ifindex, &link);

	check_object(check, "uplink %s", uplink->name);
	check->looked_at.uplinks++;
	if (ret == -ENODEV) {
		if (check_differs(check, "device", "there", "gone"))
			refresh_uplinks(check);
		return 0;
	}
	if (ret)
		return ret;
	if (!datapath_is_attached(check->host, ifindex, HOOK_FROM_UPLINK) &&
	    check_differs(check, "program from_uplink", "attached", "missing or replaced"))
		refresh_uplinks(check);
	check_uplink_addresses(check, ifindex, uplink);
	return 0;
}

/* A default route by a device that could be an uplink, and is none. */
static int check_default_route(const struct route *route, void *arg)
{
	struct check *check = arg;
	struct uplink uplink;
	struct link link;

	if (route->prefix || !route->ifindex ||
	    !bpf_map_lookup_elem(check->host->maps[MAP_UPLINKS], &route->ifindex, &uplink) ||
	    link_get_index(check->host->nl, route->ifindex, &link) || !uplink_is_possible(&link))
		return 0;
	check_object(check, "uplink %s", link.name);
	if (check_differs(check, "record", "there, as a default route leads to it", "missing"))
		refresh_uplinks(check);
	return 0;
}

int check_uplinks(struct check *check, struct error *err)
{
	int ret = uplink_each(check->host, check_uplink, check);

	if (!ret)
		ret = route_each(check->host->nl, AF_INET, RTN_UNICAST, check_default_route, check);
	if (!ret)
		ret = route_each(check->host->nl, AF_INET6, RTN_UNICAST, check_default_route, check);
	return ret ? fail(err, EXIT_SYSTEM, "cannot look at the uplinks: %s", strerror(-ret)) : 0;
}

struct previous {
	struct check *check;
	struct mapping mapping;
	bool any;
};

static bool is_behind(const struct mapping *mapping, const struct mapping *previous)
{
	int order = mapping_compare(previous, mapping->proto, &mapping->addr, mapping->first);

	if (order >= 0)
		return false;
	return mapping->proto != previous->proto || !addr_equal(&mapping->addr, &previous->addr) ||
	       mapping->first > previous->last;
}

static int check_mapping(const struct mapping *mapping, void *arg)
{
	struct previous *previous = arg;
	struct check *check = previous->check;
	char text[MAPPING_TEXT];
	struct endpoint endpoint;

	check_object(check, "port %s", mapping_format(mapping, text));
	check->looked_at.mappings++;
	if (endpoint_get(check->host, mapping->endpoint, &endpoint)) {
		check_differs(check, "endpoint", "there", "gone");
		check_advise(check, "`nsbpf down` and beginning anew mends it");
	}
	if (previous->any && !is_behind(mapping, &previous->mapping)) {
		check_differs(check, "place in the table", "behind those before it", "before them, or overlapping");
		check_advise(check, "`nsbpf down` and beginning anew mends it");
	}
	previous->mapping = *mapping;
	previous->any = true;
	return 0;
}

int check_mappings(struct check *check, struct error *err)
{
	struct previous previous = { .check = check };

	if (mapping_each(check->host, check_mapping, &previous))
		return fail(err, EXIT_SYSTEM, "cannot look at the exposed ports");
	return 0;
}
