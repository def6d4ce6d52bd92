/* SPDX-License-Identifier: GPL-2.0-only */
/* What an endpoint sends: tc ingress of its host veth. */
#ifndef NSBPF_BPF_FROM_ENDPOINT_H
#define NSBPF_BPF_FROM_ENDPOINT_H

/* Is it for link_scope() to judge? */
static __always_inline bool is_link_scope(const struct packet *p, const struct endpoint *ep)
{
	return p->kind == L4_ICMP_OTHER || !addr_equal(&p->tuple.saddr, &ep->addr6) || addr_is_any(&ep->addr6) ||
	       addr_is_multicast(&p->tuple.daddr) || addr_is_link_local(&p->tuple.daddr);
}

/* Is the sender telling the truth, and is it for one receiver only? */
static __always_inline enum verdict source_validate(bool ipv6, struct __sk_buff *skb, struct packet *p,
						    const struct endpoint *ep)
{
	struct ethhdr *eth = packet_data(skb);
	bool to_group;

	if ((void *)(eth + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	if (!mac_equal(eth->h_source, ep->mac))
		return drop(p, DROP_SPOOFED_MAC);
	to_group = eth->h_dest[0] & 1;
	if (ipv6) {
		enum verdict v = is_link_scope(p, ep) ? link_scope(skb, p) : VERDICT_CONTINUE;

		if (v != VERDICT_CONTINUE)
			return v;
	} else if (addr_get4(&p->tuple.saddr) != ep->addr4) {
		return drop(p, DROP_SPOOFED_IP);
	}
	if (to_group || addr_is_multicast(&p->tuple.daddr))
		return drop(p, DROP_MULTICAST);
	if (addr_is_loopback(&p->tuple.daddr) || (!ipv6 && !addr_get4(&p->tuple.daddr)))
		return drop(p, DROP_MARTIAN);
	return VERDICT_CONTINUE;
}

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
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	v = rewrite_ttl(skb, p);
	return v == VERDICT_CONTINUE ? forward_to_endpoint(skb, p, slot) : v;
}

static __always_inline enum verdict plan_masquerade(struct __sk_buff *skb, struct packet *p, const struct network *net,
						    __u32 oif)
{
	struct workbench *w = plan_begin(p);

	if (!w || !bpf_map_lookup_elem(&uplinks, &oif))
		return drop(p, DROP_NOT_UPLINK);
	if (!masquerade_address(net, p->ipv6, &w->route, &w->plan.xlat.saddr))
		return drop(p, DROP_NO_ADDRESS);
	w->plan.endpoint = w->plan.targets[DIR_REPLY] = p->endpoint;
	w->plan.flags = CONN_SNAT;
	w->found = w->route;
	nexthop_release(skb, p, w, &w->plan.xlat);
	return VERDICT_OPEN;
}

/* Plain forwarding, of whatever protocol. */
static __always_inline enum verdict to_outside_routed(struct __sk_buff *skb, struct packet *p, struct workbench *w)
{
	__u32 oif = w->route.oif;
	enum verdict v;

	if (!bpf_map_lookup_elem(&uplinks, &oif))
		return drop(p, DROP_NOT_UPLINK);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	if (!packet_fits(skb, p, w->route.mtu)) {
		p->mtu = w->route.mtu;
		return drop(p, DROP_TOO_BIG);
	}
	v = rewrite_ttl(skb, p);
	return v == VERDICT_CONTINUE ? forward_outside(skb, p, oif, &w->route.nexthop) : v;
}

/* What may not open a connection towards the outside says why. */
static __always_inline enum verdict may_masquerade(struct packet *p)
{
	switch (p->kind) {
	case L4_UNKNOWN:
	case L4_FRAGMENT: /* of such a protocol */
		return drop(p, DROP_PROTOCOL);
	case L4_ICMP_OTHER:
		return drop(p, DROP_ICMP_ERROR);
	case L4_ECHO:
		return VERDICT_CONTINUE;
	case L4_ECHO_REPLY:
		return drop(p, DROP_UNTRACKED);
	case L4_PORTS:
		return p->tcp_flags & TCP_RST ? drop(p, DROP_UNTRACKED) : VERDICT_CONTINUE;
	}
	return drop(p, DROP_PROTOCOL);
}

/*
 * The FIB says the same of the host's addresses and of what a policy rule rejects. An address that user space does not
 * know may be a new one; but where the host forwards it must not be given the chance to be none.
 */
static __always_inline bool may_be_foreign(struct __sk_buff *skb, const struct packet *p)
{
	struct nsbpf_addr destination = p->tuple.daddr;

	return !bpf_map_lookup_elem(&host_addresses, &destination) && host_forwards6(skb);
}

static __always_inline __u32 route_wanted(const struct network *net, bool ipv6)
{
	if (is_routed(net, ipv6))
		return 0;
	return ipv6 ? ROUTE_SOURCE | ROUTE_SILENT : ROUTE_SOURCE;
}

/*
 * No connection knows this packet: where does it want to go? VERDICT_OPEN: now there is a plan for one. Not static: so
 * the verifier looks at it once, and not after each way that the parser may have taken. But Linux before 6.2 takes no
 * map key from behind the pointer that such a function gets: what is called here copies keys to the stack first.
 */
__noinline int from_endpoint_new(struct __sk_buff *skb, struct packet *p, __u32 network)
{
	struct network *net = network_get(network);
	struct workbench *w = workbench_get();
	enum verdict v;
	bool fixed, lost, local;
	__u32 oif;

	if (!p || !net || !w)
		return VERDICT_PASS;
	fixed = !addr_is_any(fixed_address(net, p->ipv6));
	lost = fixed && !address_is_local(skb, p, w, fixed_address(net, p->ipv6));
	w->key = p->tuple;
	if (fixed) /* the FIB is asked as if by whom the packet will come from */
		w->key.saddr = *fixed_address(net, p->ipv6);
	v = route_lookup(skb, p, route_wanted(net, p->ipv6));
	if (v != VERDICT_CONTINUE)
		return v;
	local = w->route.local;
	oif = w->route.oif;
	if (local && p->ipv6 && may_be_foreign(skb, p))
		return drop(p, DROP_NO_ROUTE);
	if (!local && endpoint_slot(oif))
		return to_other_network(skb, p, net, endpoint_slot(oif));
	if (!local && is_routed(net, p->ipv6))
		return to_outside_routed(skb, p, w);
	if (p->kind == L4_FRAGMENT && fragment_may_be_translated(p)) {
		v = fragment_hold(skb, p);
		return local && v != VERDICT_CONTINUE ? VERDICT_PASS : v;
	}
	if (local)
		return to_host(skb, p, net);
	v = may_masquerade(p);
	if (v != VERDICT_CONTINUE)
		return v;
	if (lost)
		return drop(p, DROP_NO_ADDRESS);
	return plan_masquerade(skb, p, net, oif);
}

/* An error that no connection knows may be about a packet of the host's own. Towards the outside it can't be right. */
static __always_inline enum verdict from_endpoint_icmp(struct __sk_buff *skb, struct packet *p, __u32 network)
{
	enum verdict v = icmp_error(skb, p);

	if (v == VERDICT_CONTINUE)
		return related_forward(skb, p, network);
	return v == VERDICT_PASS ? from_endpoint_new(skb, p, network) : v;
}

/* VERDICT_CONTINUE: it is to leave its network. `ipv6` is a constant: the two families part here and meet again. */
static __always_inline enum verdict from_endpoint_begin(bool ipv6, struct __sk_buff *skb, struct packet *p,
							const struct endpoint *ep, const struct network *net)
{
	enum verdict v = ipv6 ? parse_ipv6(skb, p) : parse_ipv4(skb, p);

	if (v == VERDICT_CONTINUE)
		v = source_validate(ipv6, skb, p, ep);
	if (v != VERDICT_CONTINUE)
		return v;
	count_sent(skb, p->endpoint);
	return is_neighbour(ipv6, net, &p->tuple.daddr) ? to_neighbour(skb, p) : VERDICT_CONTINUE;
}

static __always_inline enum verdict from_endpoint_ip(struct __sk_buff *skb, struct packet *p, const struct endpoint *ep)
{
	struct network *net = network_get(ep->network);
	__u32 now;
	enum verdict v;
	__u64 ref = 0;

	if (!net)
		return drop(p, DROP_NO_ENDPOINT);
	if (likely(skb->protocol == bpf_htons(ETH_P_IP)))
		v = from_endpoint_begin(false, skb, p, ep, net);
	else
		v = from_endpoint_begin(true, skb, p, ep, net);
	asm volatile(""
		     : "+r"(skb)); /* skb->data is loaded anew: what came by two ways is no pointer to the verifier */
	if (v != VERDICT_CONTINUE)
		return v;
	if (p->kind == L4_ICMP_OTHER)
		return from_endpoint_icmp(skb, p, ep->network);
	now = clock_now();
	if (p->kind != L4_FRAGMENT || fragment_resolve(p))
		ref = conn_lookup(&p->tuple);
	else if (is_hosts_datagram(p))
		return VERDICT_PASS;
	if (ref && route_is_old(ref, now)) {
		v = conn_route(skb, p, ep->network, ref);
		if (v == VERDICT_DROP)
			return v;
		if (v != VERDICT_CONTINUE)
			ref = 0;
	}
	if (!ref) {
		v = from_endpoint_new(skb, p, ep->network);
		if (v == VERDICT_OPEN)
			v = conn_open(skb, p);
		if (v == VERDICT_PASS && p->first_fragment)
			fragment_is_the_hosts(p);
		if (v != VERDICT_CONTINUE)
			return v;
		ref = conn_lookup(&p->tuple);
	}
	return conn_forward(skb, p, ref, now);
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
	case bpf_htons(ETH_P_IPV6):
		return from_endpoint_ip(skb, p, ep);
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

	watch(skb, &p);
	return finish(skb, &p, from_endpoint_stages(skb, &p), EVENT_FROM_ENDPOINT);
}

#endif
