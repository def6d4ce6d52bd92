/* SPDX-License-Identifier: GPL-2.0-only */
/* What an endpoint sends: tc ingress of its host veth. */
#ifndef NSBPF_BPF_FROM_ENDPOINT_H
#define NSBPF_BPF_FROM_ENDPOINT_H

/* Same network: switched, not routed. Nothing is translated or filtered between neighbours, so nothing is tracked. */
static __always_inline enum verdict to_neighbour(struct __sk_buff *skb, struct packet *p)
{
	__u32 *slot = bpf_map_lookup_elem(&addresses, &p->tuple.daddr);

	if (!slot || *slot == p->endpoint)
		return drop(p, DROP_NO_ENDPOINT);
	return forward_to_endpoint(skb, p, *slot);
}

/* Another network of this host: routed, if both networks are open. */
static __always_inline enum verdict to_other_network(struct __sk_buff *skb, struct packet *p, const struct network *net,
						     __u32 slot)
{
	struct endpoint *target = endpoint_get(slot);
	struct network *target_net;
	enum verdict v;

	if (!target)
		return drop(p, DROP_NO_ENDPOINT);
	target_net = network_get(target->network);
	if (!target_net || !(net->flags & NETWORK_OPEN) || !(target_net->flags & NETWORK_OPEN))
		return drop(p, DROP_ISOLATED);
	v = rewrite(skb, p, &p->tuple);
	if (v != VERDICT_CONTINUE)
		return v;
	return forward_to_endpoint(skb, p, slot);
}

/* To an exposed port of the host: both ends are translated, so that the answer comes back this way, from itself too. */
static __always_inline enum verdict open_hairpin(struct __sk_buff *skb, struct packet *p, const struct mapping *m)
{
	struct endpoint *target = endpoint_get(m->endpoint);
	struct conn_plan plan = {
		.endpoint = p->endpoint,
		.target = m->endpoint,
		.reply_target = p->endpoint,
		.flags = CONN_SNAT | CONN_DNAT | CONN_HAIRPIN,
	};
	enum verdict v;

	if (!mapping_allows(m, &p->tuple.saddr))
		return drop(p, DROP_SOURCE);
	if (!target)
		return drop(p, DROP_NO_ENDPOINT);
	plan.xlat = p->tuple;
	plan.xlat.saddr = p->tuple.daddr;
	addr_set4(&plan.xlat.daddr, target->addr4);
	plan.xlat.dport = mapping_target_port(m, p->tuple.dport);
	v = port_allocate(skb, p, &plan);
	if (v != VERDICT_CONTINUE)
		return v;
	return conn_insert_original(p, &plan);
}

static __always_inline enum verdict open_masquerade(struct __sk_buff *skb, struct packet *p, const struct route *route)
{
	struct conn_plan plan = { .endpoint = p->endpoint, .reply_target = p->endpoint, .flags = CONN_SNAT };
	enum verdict v;

	if (!bpf_map_lookup_elem(&uplinks, &route->oif))
		return drop(p, DROP_NOT_UPLINK);
	plan.xlat = p->tuple;
	if (!masquerade_address(route, &plan.xlat.saddr))
		return drop(p, DROP_NO_ADDRESS);
	v = port_allocate(skb, p, &plan);
	if (v != VERDICT_CONTINUE)
		return v;
	return conn_insert_original(p, &plan);
}

/* What may not open a connection towards the outside says why. */
static __always_inline enum verdict may_masquerade(struct packet *p)
{
	switch (p->kind) {
	case L4_UNKNOWN:
		return drop(p, DROP_PROTOCOL);
	case L4_FRAGMENT:
		return drop(p, DROP_FRAGMENT);
	case L4_ICMP_OTHER:
		return drop(p, DROP_ICMP_ERROR);
	case L4_ECHO:
		return p->tuple.sport || !p->tuple.dport ? VERDICT_CONTINUE : drop(p, DROP_UNTRACKED);
	case L4_PORTS:
		return p->tcp_flags & TCP_RST ? drop(p, DROP_UNTRACKED) : VERDICT_CONTINUE;
	}
	return drop(p, DROP_PROTOCOL);
}

/*
 * No connection knows this packet: where does it want to go? VERDICT_CONTINUE: now there is one. Not static: so the
 * verifier looks at it once, and not after each way that the parser may have taken. But Linux before 6.2 takes no map
 * key from behind the pointer that such a function gets: what is called here copies keys to the stack first.
 */
__noinline int from_endpoint_new(struct __sk_buff *skb, struct packet *p, __u32 network)
{
	struct network *net = network_get(network);
	struct route route = {};
	struct mapping *m;
	enum verdict v;

	if (!p || !net)
		return VERDICT_PASS;
	v = route_lookup(skb, p, &p->tuple, &route);
	if (v != VERDICT_CONTINUE)
		return v;
	if (route.local) {
		m = NULL;
		if (mapping_wants(p) && !is_broadcast(&p->tuple.daddr))
			m = mapping_lookup(p->tuple.proto, &p->tuple.daddr, p->tuple.dport);
		return m ? open_hairpin(skb, p, m) : VERDICT_PASS;
	}
	if (endpoint_slot(route.oif))
		return to_other_network(skb, p, net, endpoint_slot(route.oif));
	v = may_masquerade(p);
	if (v != VERDICT_CONTINUE)
		return v;
	return open_masquerade(skb, p, &route);
}

static __always_inline enum verdict from_endpoint_ipv4(struct __sk_buff *skb, struct packet *p,
						       const struct endpoint *ep)
{
	struct network *net = network_get(ep->network);
	enum verdict v;
	struct conn *c;

	v = parse_ipv4(skb, p);
	if (v != VERDICT_CONTINUE)
		return v;
	v = source_validate(skb, p, ep);
	if (v != VERDICT_CONTINUE)
		return v;
	count_sent(skb, p->endpoint);
	if (!net)
		return drop(p, DROP_NO_ENDPOINT);
	if (is_neighbour(net, addr_get4(&p->tuple.daddr)))
		return to_neighbour(skb, p);
	if (p->kind == L4_FRAGMENT)
		fragment_resolve(p);
	c = conn_lookup(&p->tuple);
	if (!c) {
		v = from_endpoint_new(skb, p, ep->network);
		if (v != VERDICT_CONTINUE)
			return v;
		c = conn_lookup(&p->tuple);
	}
	return conn_forward(skb, p, c);
}

static __always_inline enum verdict from_endpoint_stages(struct __sk_buff *skb, struct packet *p)
{
	struct endpoint *ep;

	p->endpoint = endpoint_slot(skb->ifindex);
	ep = endpoint_get(p->endpoint);
	if (!ep || ep->ifindex != skb->ifindex)
		return drop(p, DROP_NO_ENDPOINT);
	/* The tag would stay on the packet, all the way out of the uplink and into a VLAN of the host's choosing. */
	if (skb->vlan_present)
		return drop(p, DROP_ETHERTYPE);
	switch (skb->protocol) {
	case bpf_htons(ETH_P_IP):
		return from_endpoint_ipv4(skb, p, ep);
	case bpf_htons(ETH_P_ARP):
		return arp_answer(skb, p, ep);
	default:
		return drop(p, DROP_ETHERTYPE);
	}
}

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	struct packet p = {};

	return finish(&p, from_endpoint_stages(skb, &p));
}

#endif
