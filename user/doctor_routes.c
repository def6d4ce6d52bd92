/* SPDX-License-Identifier: GPL-2.0-only */
/* Default routes, and whether their gateways answer. */
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <sys/socket.h>

#include "addr.h"
#include "doctor.h"
#include "ipv6.h"
#include "uplinks.h"

struct looking {
	struct doctor *doctor;
	const char *family; /* in words */
	unsigned int usable, all;
};

static int match_dead(const struct neigh *neigh, void *arg)
{
	return addr_equal(&neigh->addr, arg) && neigh->state & (NUD_FAILED | NUD_INCOMPLETE);
}

static void look_at_gateway(struct doctor *d, const struct link *link, const struct nsbpf_addr *gateway)
{
	struct nsbpf_addr copy = *gateway;
	char text[ADDR_TEXT];

	if (addr_is_any(gateway) || !neigh_each(d->host.nl, link->ifindex, match_dead, &copy))
		return;
	doctor_say(d, LEVEL_PROBLEM, "routes", "gateway %s on %s does not answer", addr_format(gateway, text),
		   link->name);
	doctor_why(d, "what is for the outside by this route goes nowhere");
	doctor_fix(d, "ip neigh show dev %s", link->name);
}

static int look_at_route(const struct route *route, void *arg)
{
	struct looking *l = arg;
	struct doctor *d = l->doctor;
	char text[ADDR_TEXT];
	struct link link;

	if (route->prefix || !route->ifindex || link_get_index(d->host.nl, route->ifindex, &link))
		return 0;
	l->all++;
	if (!uplink_is_possible(&link)) {
		doctor_say(d, LEVEL_WARNING, "routes", "%s default route by %s, which is no Ethernet device", l->family,
			   link.name);
		doctor_why(d, "it can be no uplink: endpoints do not reach the outside by it");
		return 0;
	}
	l->usable++;
	if (addr_is_any(&route->gateway))
		doctor_say(d, LEVEL_OK, "routes", "%s default by %s", l->family, link.name);
	else
		doctor_say(d, LEVEL_OK, "routes", "%s default via %s by %s", l->family,
			   addr_format(&route->gateway, text), link.name);
	look_at_gateway(d, &link, &route->gateway);
	return 0;
}

static void look_at_family(struct doctor *d, int family, enum level without)
{
	struct looking l = { .doctor = d, .family = family == AF_INET ? "IPv4" : "IPv6" };

	if (route_each(d->host.nl, family, RTN_UNICAST, look_at_route, &l) || l.all)
		return;
	doctor_say(d, without, "routes", "no %s default route", l.family);
	doctor_why(d, "endpoints reach by it only what the host has other routes to");
	doctor_fix(d, "ip %sroute add default via GATEWAY", family == AF_INET ? "" : "-6 ");
}

void doctor_routes(struct doctor *d)
{
	look_at_family(d, AF_INET, LEVEL_WARNING);
	if (!ipv6_missing())
		look_at_family(d, AF_INET6, LEVEL_NOTE);
}
