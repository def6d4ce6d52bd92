/* SPDX-License-Identifier: GPL-2.0-only */
/* What the stages of the datapath have to say about a packet. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "connection_view.h"
#include "drops.h"
#include "endpoints.h"
#include "explain_internal.h"
#include "mappings.h"

void say(struct tracing *t, const char *stage, const char *fmt, ...)
{
	struct explanation *e = t->e;
	va_list args;

	if (e->stage_count == sizeof(e->stages) / sizeof(e->stages[0]))
		return;
	e->stages[e->stage_count].name = stage;
	va_start(args, fmt);
	vsnprintf(e->stages[e->stage_count++].text, sizeof(e->stages[0].text), fmt, args);
	va_end(args);
}

const char *end_format(const struct tuple *tuple, bool source, char text[END_TEXT])
{
	const struct nsbpf_addr *addr = source ? &tuple->saddr : &tuple->daddr;
	char address[ADDR_TEXT];

	addr_format(addr, address);
	if (tuple->proto != IPPROTO_TCP && tuple->proto != IPPROTO_UDP)
		snprintf(text, END_TEXT, "%s", address);
	else
		snprintf(text, END_TEXT, addr_is4(addr) ? "%s:%u" : "[%s]:%u", address,
			 ntohs(source ? tuple->sport : tuple->dport));
	return text;
}

const char *device_name(const struct host *host, unsigned int ifindex, char name[IFNAMSIZ])
{
	struct link link;

	if (link_get_index(host->nl, ifindex, &link))
		snprintf(name, IFNAMSIZ, "device %u", ifindex);
	else
		snprintf(name, IFNAMSIZ, "%s", link.name);
	return name;
}

const char *endpoint_name(const struct host *host, unsigned int slot)
{
	return host->endpoints[slot].name;
}

unsigned int slot_of_address(const struct host *host, const struct nsbpf_addr *addr)
{
	__u32 slot;

	return bpf_map_lookup_elem(host->maps[MAP_ADDRESSES], addr, &slot) ? 0 : slot;
}

const struct conn *tracing_conn(const struct tracing *t)
{
	return t->place ? &t->copy.connections[t->place - 1] : NULL;
}

int trace_run(struct tracing *t, const struct copy_hook *hook, const unsigned char from[6], const unsigned char to[6],
	      struct error *err)
{
	struct packet_spec packet = { .tuple = t->tuple,
				      .established = t->e->question.established,
				      .size = t->e->question.size };
	const struct conn *conn;

	memcpy(packet.from_mac, from, sizeof(packet.from_mac));
	memcpy(packet.to_mac, to, sizeof(packet.to_mac));
	t->was_known = datapath_copy_find(&t->copy, &t->tuple, &t->dir);
	if (datapath_copy_run(&t->copy, hook, &packet, &t->run, err))
		return -1;
	t->reason = datapath_copy_reason(&t->copy, err);
	if (t->reason < 0 || datapath_copy_endpoints(&t->copy, &t->target, &t->blamed, err))
		return -1;
	t->place = datapath_copy_find(&t->copy, &t->tuple, &t->dir);
	conn = tracing_conn(t);
	if (conn)
		t->target = conn->targets[t->dir];
	if (t->reason == DROP_FILTERED)
		t->owner = conn ? t->target : t->blamed;
	return 0;
}

static void say_neighbour(struct tracing *t)
{
	unsigned int slot = slot_of_address(t->host, &t->tuple.daddr);
	char text[ADDR_TEXT];

	addr_format(&t->tuple.daddr, text);
	if (slot == t->slot)
		say(t, "network", "%s is its own address: such packets do not leave it", text);
	else if (!slot)
		say(t, "network", "%s is of network %s, and no endpoint has it", text, t->network.name);
	else
		say(t, "network", "%s is %s, in the same network %s: switched, no connection is kept", text,
		    endpoint_name(t->host, slot), t->network.name);
}

static const char *openness(const struct network *network)
{
	return network->flags & NETWORK_OPEN ? "open" : "isolated";
}

static void say_other_network(struct tracing *t, unsigned int slot)
{
	struct network other = { 0 };
	char text[ADDR_TEXT];

	network_get(t->host, t->host->endpoints[slot].network, &other);
	say(t, "network", "%s is %s in network %s, which is %s; %s is %s", addr_format(&t->tuple.daddr, text),
	    endpoint_name(t->host, slot), other.name, openness(&other), t->network.name, openness(&t->network));
}

static void say_route(struct tracing *t)
{
	const struct route_told *route = &t->route;
	char text[ADDR_TEXT], hop[ADDR_TEXT], device[IFNAMSIZ], mtu[24] = "";
	struct uplink uplink;

	addr_format(&t->tuple.daddr, text);
	if (route->dropped) {
		say(t, "route", "to %s: %s", text, drop_text(route->reason));
		return;
	}
	if (route->local) {
		say(t, "route", "%s is an address of the host", text);
		return;
	}
	if (route->mtu)
		snprintf(mtu, sizeof(mtu), ", MTU %u", route->mtu);
	device_name(t->host, route->oif, device);
	if (bpf_map_lookup_elem(t->host->maps[MAP_UPLINKS], &route->oif, &uplink))
		say(t, "route", "out of %s, which is no uplink", device);
	else if (addr_is_any(&route->nexthop) || addr_equal(&route->nexthop, &t->tuple.daddr))
		say(t, "route", "out of %s%s", device, mtu);
	else
		say(t, "route", "out of %s via %s%s", device, addr_format(&route->nexthop, hop), mtu);
}

static bool is_neighbour(const struct network *network, const struct nsbpf_addr *addr)
{
	struct cidr subnet4 = network_subnet4(network), subnet6 = network_subnet6(network);

	if (addr_is4(addr))
		return cidr_contains(&subnet4, addr) && addr_to4(addr) != network->gateway4;
	return !addr_is_any(&network->subnet6) && cidr_contains(&subnet6, addr) &&
	       !addr_equal(addr, &network->gateway6);
}

int say_way(struct tracing *t, struct error *err)
{
	if (is_neighbour(&t->network, &t->tuple.daddr)) {
		say_neighbour(t);
		return 0;
	}
	if (datapath_copy_route(&t->copy, &t->tuple, t->endpoint.network, &t->route, err))
		return -1;
	if (!t->route.dropped && !t->route.local && slot_of_device(t->route.oif))
		say_other_network(t, slot_of_device(t->route.oif));
	else
		say_route(t);
	return 0;
}

struct search {
	const struct tuple *tuple;
	struct mapping *found;
	bool any;
};

static int match_mapping(const struct mapping *m, void *arg)
{
	struct search *s = arg;
	__u16 port = ntohs(s->tuple->dport);

	if (m->proto != s->tuple->proto || port < m->first || port > m->last)
		return 0;
	if (addr_is_any(&m->addr)) {
		*s->found = *m;
		s->any = true;
		return 0;
	}
	if (!addr_equal(&m->addr, &s->tuple->daddr))
		return 0;
	*s->found = *m;
	return 1; /* its own comes before one for any address */
}

static bool mapping_allows(const struct mapping *m, const struct nsbpf_addr *source)
{
	for (unsigned int i = 0; i < m->nsources; i++) {
		const struct cidr cidr = { m->sources[i].addr, m->sources[i].prefix };

		if (cidr_contains(&cidr, source))
			return true;
	}
	return !m->nsources;
}

/* As `expose` takes it. */
static void note_exposure(struct tracing *t, const struct mapping *m)
{
	struct exposure exposure = { .ports = { .addr = m->addr,
						.first = m->first,
						.last = m->last,
						.target = m->target,
						.has_target = m->target != m->first,
						.tcp = m->proto == IPPROTO_TCP,
						.udp = m->proto == IPPROTO_UDP } };

	exposure_format(&exposure, t->mapping);
}

bool say_mapping(struct tracing *t, struct mapping *mapping)
{
	struct search s = { &t->tuple, mapping, false };
	const char *proto = t->tuple.proto == IPPROTO_TCP ? "tcp" : "udp";
	char text[MAPPING_TEXT], source[ADDR_TEXT];
	int ret;

	if (t->tuple.proto != IPPROTO_TCP && t->tuple.proto != IPPROTO_UDP)
		return false;
	ret = mapping_each(t->host, match_mapping, &s);
	if (ret <= 0 && !s.any) {
		say(t, "mapping", "%s/%u is not exposed", proto, ntohs(t->tuple.dport));
		return false;
	}
	note_exposure(t, mapping);
	t->owner = mapping->endpoint;
	mapping_format(mapping, text);
	if (!mapping_allows(mapping, &t->tuple.saddr))
		say(t, "mapping", "%s is exposed to %s, but not for %s", text,
		    endpoint_name(t->host, mapping->endpoint), addr_format(&t->tuple.saddr, source));
	else
		say(t, "mapping", "%s leads to port %u of %s%s", text,
		    ntohs(t->tuple.dport) - mapping->first + mapping->target, endpoint_name(t->host, mapping->endpoint),
		    mapping->nsources ? ", and this source is allowed" : "");
	return true;
}

#define TRANSLATION_TEXT (2 * END_TEXT + 32)

/* What becomes of the source, or of the destination. */
static const char *translation_format(const struct tuple *from, const struct tuple *to, bool source,
				      char text[TRANSLATION_TEXT])
{
	const char *name = source ? "source" : "destination";
	char was[END_TEXT], is[END_TEXT];

	if (strcmp(end_format(from, source, was), end_format(to, source, is)))
		snprintf(text, TRANSLATION_TEXT, "%s %s becomes %s", name, was, is);
	else
		snprintf(text, TRANSLATION_TEXT, "%s %s stays", name, was);
	return text;
}

static void say_translation(struct tracing *t, const struct conn *conn)
{
	const struct tuple *answer = &conn->tuples[!t->dir];
	struct tuple becomes = { .saddr = answer->daddr,
				 .daddr = answer->saddr,
				 .sport = answer->dport,
				 .dport = answer->sport,
				 .proto = answer->proto };
	char source[TRANSLATION_TEXT], destination[TRANSLATION_TEXT];

	say(t, "nat", "%s, %s", translation_format(&t->tuple, &becomes, true, source),
	    translation_format(&t->tuple, &becomes, false, destination));
	t->e->becomes = becomes;
}

/* A connection that is new has seen no time yet: what its first packet has set is the whole of it. */
static void say_age(struct tracing *t, const struct connection_view *view)
{
	const char *whose = *view->endpoint ? view->endpoint : "an endpoint that is gone";

	if (!t->was_known)
		say(t, "connection", "new, of %s: state %s, ends after %u s without a packet", whose,
		    connection_state_name(view->state), t->host->settings->timeouts[view->state]);
	else
		say(t, "connection", "known, of %s, as %s: state %s, %u s left", whose,
		    t->dir == DIR_ORIGINAL ? "one more of its packets" : "an answer",
		    connection_state_name(view->state), view->left);
}

void say_connection(struct tracing *t)
{
	const struct conn *conn = tracing_conn(t);
	struct connection_view view = { 0 };

	if (!conn) {
		if (t->reason != DROP_REASONS)
			say(t, "connection", "none, and none is opened");
		else if (t->mapping[0])
			say(t, "connection", "none, and only the first packet of one would open it");
		return;
	}
	view.conn = *conn;
	view.traffic[DIR_ORIGINAL] = t->copy.traffic[t->place - 1];
	view.traffic[DIR_REPLY] = t->copy.traffic[t->copy.room + t->place - 1];
	connection_view_complete(t->host, &view);
	say_age(t, &view);
	say_translation(t, conn);
}
