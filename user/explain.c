/* SPDX-License-Identifier: GPL-2.0-only */
/* Runs a packet through a copy of the datapath, by the way that it would take, and puts together what came of it. */
#include "explain.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <linux/pkt_cls.h>
#include <stdio.h>
#include <string.h>

#include "connection_view.h"
#include "drops.h"
#include "endpoints.h"
#include "explain_internal.h"
#include "host_addresses.h"
#include "sysctl.h"
#include "uplinks.h"

static const unsigned char somebody[6] = { 2, 0, 0, 0, 0, 1 }; /* the MAC of a router outside */

void question_guess_origin(const struct host *host, struct question *question)
{
	const struct nsbpf_addr *source = &question->tuple.saddr;
	int kind = host_address_kind(host, source);

	question->slot = slot_of_address(host, source);
	if (question->slot)
		question->origin = ORIGIN_ENDPOINT;
	else if (addr_is_loopback(source) || kind == HOST_ADDRESS_LOCAL || kind == HOST_ADDRESS_GATEWAY)
		question->origin = ORIGIN_HOST;
	else
		question->origin = ORIGIN_OUTSIDE;
}

static void load_endpoint(struct tracing *t, unsigned int slot)
{
	t->slot = slot;
	t->endpoint = t->host->endpoints[slot];
	network_get(t->host, t->endpoint.network, &t->network);
}

static void give_advice(struct tracing *t, enum drop_reason reason)
{
	char source[ADDR_TEXT], destination[ADDR_TEXT], device[IFNAMSIZ] = "", port[32] = "";
	const struct endpoint *target = &t->host->endpoints[slot_of_device(t->route.oif)];
	const struct endpoint *whose = t->owner ? &t->host->endpoints[t->owner] : &t->endpoint;
	struct network network = { 0 }, other = { 0 };
	const struct advice_names names = { .endpoint = whose->name,
					    .network = network.name,
					    .target = target->name,
					    .other = other.name,
					    .source = addr_format(&t->tuple.saddr, source),
					    .destination = addr_format(&t->tuple.daddr, destination),
					    .device = device,
					    .port = t->mapping[0] ? t->mapping : port };

	if (t->tuple.proto == IPPROTO_TCP || t->tuple.proto == IPPROTO_UDP)
		snprintf(port, sizeof(port), "%u/%s", ntohs(t->tuple.dport), protocol_name(t->tuple.proto));
	network_get(t->host, whose->network, &network);
	/* To no other endpoint: then it is by a device. */
	if (network_get(t->host, target->network, &other) && t->route.oif)
		device_name(t->host, t->route.oif, device);
	drop_advice(reason, &names, t->e->advice);
}

/* A route goes with its device. */
static int look_at_each(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	(void)uplink;
	look_at_uplink(arg, ifindex);
	return 0;
}

static void dropped(struct tracing *t)
{
	struct explanation *e = t->e;
	const char *error = t->run.action == TC_ACT_REDIRECT ? packet_icmp_error(&t->run.frame, t->run.length) : NULL;

	e->outcome = OUTCOME_DROPPED;
	e->reason = t->reason;
	e->answer = error;
	if (t->reason == DROP_NO_ROUTE || t->reason == DROP_NO_ADDRESS)
		uplink_each(t->host, look_at_each, t);
	snprintf(e->verdict, sizeof(e->verdict), "dropped: %s (%s)", drop_name(t->reason), drop_text(t->reason));
	give_advice(t, t->reason);
}

static void forwarded(struct tracing *t)
{
	struct explanation *e = t->e;
	const struct conn *conn = tracing_conn(t);
	unsigned int ifindex = conn ? conn->oif : t->route.oif;
	const struct nsbpf_addr *nexthop = conn ? &conn->nexthop : &t->route.nexthop;
	char device[IFNAMSIZ];

	e->outcome = OUTCOME_FORWARDED;
	if (t->target) {
		snprintf(e->verdict, sizeof(e->verdict), "forwarded to %s", endpoint_name(t->host, t->target));
		if (t->target != t->slot || e->question.origin != ORIGIN_ENDPOINT)
			look_at_endpoint(t, t->target);
		if (!conn || t->dir == DIR_ORIGINAL)
			look_at_listeners(t, t->target, &e->becomes);
		return;
	}
	snprintf(e->verdict, sizeof(e->verdict), "forwarded out of %s", device_name(t->host, ifindex, device));
	look_at_uplink(t, ifindex);
	look_at_neighbour(t, ifindex, addr_is_any(nexthop) ? &e->becomes.daddr : nexthop);
}

static void to_host(struct tracing *t)
{
	t->e->outcome = OUTCOME_HOST;
	snprintf(t->e->verdict, sizeof(t->e->verdict), "left to the host's own stack");
}

/* What the program's verdict means. True: the host's stack gets it. */
static bool conclude(struct tracing *t)
{
	if (t->reason != DROP_REASONS)
		dropped(t);
	else if (t->run.action == TC_ACT_REDIRECT)
		forwarded(t);
	else
		to_host(t);
	return t->e->outcome == OUTCOME_HOST;
}

/* Reasons that have to do with who it says that it is, or what it is: nobody asks then where it is going. */
static bool is_refused_at_once(int reason)
{
	switch (reason) {
	case DROP_MALFORMED:
	case DROP_ETHERTYPE:
	case DROP_SPOOFED_MAC:
	case DROP_SPOOFED_IP:
	case DROP_MARTIAN:
	case DROP_MULTICAST:
	case DROP_LINK_LOCAL:
		return true;
	default:
		return false;
	}
}

static void say_sender(struct tracing *t)
{
	const struct addr_pair addrs = endpoint_addresses(&t->endpoint);
	char device[IFNAMSIZ], v4[ADDR_TEXT], v6[ADDR_TEXT] = "no IPv6", source[ADDR_TEXT];

	endpoint_device(&t->endpoint, t->slot, device);
	say(t, "endpoint", "%s sends it, by %s, from network %s", t->endpoint.name, device, t->network.name);
	if (t->reason != DROP_SPOOFED_IP)
		return;
	if (!addr_is_any(&addrs.v6))
		addr_format(&addrs.v6, v6);
	say(t, "source", "%s is not %s's, which has %s and %s", addr_format(&t->tuple.saddr, source), t->endpoint.name,
	    addr_format(&addrs.v4, v4), v6);
}

static int from_endpoint(struct tracing *t, struct error *err)
{
	const struct copy_hook hook = { .program = "from_endpoint", .ifindex = t->endpoint.ifindex };
	struct mapping mapping = { 0 };

	if (t->endpoint.state != SLOT_READY || link_exists(t->host->nl, t->endpoint.ifindex))
		return fail(err, EXIT_SYSTEM, "endpoint %s is not whole: `nsbpf check` says what is missing",
			    t->endpoint.name);
	if (trace_run(t, &hook, t->endpoint.mac, t->endpoint.gateway_mac, err))
		return -1;
	say_sender(t);
	look_at_endpoint(t, t->slot);
	if (!is_refused_at_once(t->reason) && say_way(t, err))
		return -1;
	if (t->route.local && !t->route.dropped)
		say_mapping(t, &mapping);
	say_connection(t);
	if (conclude(t))
		look_at_listeners(t, 0, &t->tuple);
	return 0;
}

static int first_uplink(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	(void)uplink;
	*(__u32 *)arg = ifindex;
	return 1;
}

/* By which device it comes in: the one that an answer would leave by, if that is an uplink. */
static int find_uplink(struct tracing *t, struct link *link, struct error *err)
{
	const struct tuple answer = { .saddr = t->tuple.daddr, .daddr = t->tuple.saddr, .proto = t->tuple.proto };
	const struct settings *settings = t->host->settings;
	struct route_told route;
	struct uplink uplink;
	__u32 ifindex;

	if (datapath_copy_route(&t->copy, &answer, 0, &route, err))
		return -1;
	ifindex = route.oif;
	if (route.dropped || bpf_map_lookup_elem(t->host->maps[MAP_UPLINKS], &ifindex, &uplink))
		ifindex = addr_is4(&t->tuple.saddr) ? settings->default_uplink : settings->default_uplink6;
	if (!ifindex && !uplink_each(t->host, first_uplink, &ifindex))
		return fail(err, EXIT_MISSING,
			    "this host has no uplink: nothing comes from outside (`nsbpf uplink add DEV` names one)");
	if (link_get_index(t->host->nl, ifindex, link))
		return fail(err, EXIT_MISSING, "the uplink is gone: `nsbpf check --repair` finds another");
	return 0;
}

/* To an endpoint's own address. */
static void say_addressee(struct tracing *t, unsigned int slot)
{
	const bool is4 = addr_is4(&t->tuple.daddr);
	char text[ADDR_TEXT];

	load_endpoint(t, slot);
	say(t, "endpoint", "%s is %s in network %s, which is %srouted", addr_format(&t->tuple.daddr, text),
	    t->endpoint.name, t->network.name,
	    t->network.flags & (is4 ? NETWORK_ROUTED4 : NETWORK_ROUTED6) ? "" : "not ");
}

/* from_uplink leaves it to the host's stack, and that may forward it: not past to_endpoint. */
static int to_stranger(struct tracing *t, const struct link *uplink, struct error *err)
{
	const char *forwarding = addr_is4(&t->tuple.daddr) ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding";
	const struct copy_hook hook = { "to_endpoint", t->endpoint.ifindex, uplink->ifindex };
	int forwards = 0;

	if (!sysctl_read(forwarding, &forwards) && !forwards)
		say(t, "host", "forwards nothing (%s is 0), and so drops it already", forwarding);
	if (trace_run(t, &hook, somebody, uplink->mac, err))
		return -1;
	conclude(t);
	return 0;
}

/* No connection knows it, and nobody exposed the port; but it is counted as an endpoint's, or was given to one. */
static void say_bound(struct tracing *t)
{
	load_endpoint(t, t->blamed);
	if (t->reason == DROP_FILTERED || t->reason == DROP_REFUSED)
		say(t, "nat", "port %u is one of %s's NAT ports, for answers to what it has sent itself",
		    ntohs(t->tuple.dport), t->endpoint.name);
}

static int from_outside(struct tracing *t, struct error *err)
{
	struct copy_hook hook = { .program = "from_uplink" };
	struct mapping mapping = { 0 };
	unsigned int slot;
	struct link link;

	if (find_uplink(t, &link, err))
		return -1;
	hook.ifindex = link.ifindex;
	if (trace_run(t, &hook, somebody, link.mac, err))
		return -1;
	say(t, "uplink", "it comes in by %s", link.name);
	look_at_uplink(t, link.ifindex);
	slot = slot_of_address(t->host, &t->tuple.daddr);
	if (t->was_known)
		load_endpoint(t, tracing_conn(t) ? tracing_conn(t)->endpoint : 0);
	else if (slot)
		say_addressee(t, slot);
	else if (say_mapping(t, &mapping))
		load_endpoint(t, mapping.endpoint);
	else if (t->blamed)
		say_bound(t);
	say_connection(t);
	if (!conclude(t))
		return 0;
	if (slot)
		return to_stranger(t, &link, err);
	if (!host_address_kind(t->host, &t->tuple.daddr))
		say(t, "host", "the destination is not its address");
	look_at_listeners(t, 0, &t->tuple);
	return 0;
}

/* A socket of the host that connects to an exposed port is sent to the endpoint by a hook. */
static unsigned int from_host_exposed(struct tracing *t)
{
	struct mapping mapping = { 0 };

	if (!addr_is_loopback(&t->tuple.daddr) && !host_address_kind(t->host, &t->tuple.daddr))
		return 0;
	if (!say_mapping(t, &mapping))
		return 0;
	load_endpoint(t, mapping.endpoint);
	if (!(t->host->settings->features & FEATURE_HOST_SOCKETS)) {
		obstacle(t, "there was no cgroup2 when nsbpf began, so the host's own sockets reach no exposed ports");
		remedy(t, "mount cgroup2, then `nsbpf down` and begin anew; or use the endpoint's address");
		return 0;
	}
	t->tuple.daddr = addr_is4(&t->tuple.daddr) ? addr_from4(t->endpoint.addr4) : t->endpoint.addr6;
	t->tuple.dport = htons(ntohs(t->tuple.dport) - mapping.first + mapping.target);
	return mapping.endpoint;
}

static int from_host(struct tracing *t, struct error *err)
{
	struct copy_hook hook = { .program = "to_endpoint" };

	say(t, "host", "one of its own sockets sends it");
	t->target = slot_of_address(t->host, &t->tuple.daddr);
	if (!t->target)
		t->target = from_host_exposed(t);
	if (!t->target || addr_is_any(&t->tuple.daddr)) {
		to_host(t);
		look_at_listeners(t, 0, &t->tuple);
		return 0;
	}
	load_endpoint(t, t->target);
	hook.ifindex = t->endpoint.ifindex;
	if (addr_is_loopback(&t->tuple.saddr)) /* what the route to the endpoint says */
		t->tuple.saddr = addr_is4(&t->tuple.daddr) ? addr_from4(t->network.gateway4) : t->network.gateway6;
	t->e->becomes = t->tuple;
	if (trace_run(t, &hook, t->endpoint.gateway_mac, t->endpoint.mac, err))
		return -1;
	t->target = t->slot;
	t->run.action = TC_ACT_REDIRECT;
	conclude(t);
	return 0;
}

static const char *const entry_points[] = {
	[ORIGIN_ENDPOINT] = "from_endpoint",
	[ORIGIN_OUTSIDE] = "from_uplink",
	[ORIGIN_HOST] = "to_endpoint",
};

static int trace(struct tracing *t, struct error *err)
{
	switch (t->e->question.origin) {
	case ORIGIN_ENDPOINT:
		load_endpoint(t, t->e->question.slot);
		return from_endpoint(t, err);
	case ORIGIN_OUTSIDE:
		return from_outside(t, err);
	default:
		return from_host(t, err);
	}
}

int explain(struct host *host, const struct question *question, struct explanation *explanation, struct error *err)
{
	struct tracing t = { .host = host, .e = explanation, .tuple = question->tuple };
	int ret;

	*explanation = (struct explanation){ .question = *question, .becomes = question->tuple };
	ret = datapath_copy_open(&t.copy, host, entry_points[question->origin], err);
	if (!ret)
		ret = trace(&t, err);
	datapath_copy_close(&t.copy);
	return ret;
}
