/* SPDX-License-Identifier: GPL-2.0-only */
/* The last stages: a known connection's packet is translated, and sent out of an uplink or into a namespace. */
#ifndef NSBPF_BPF_FORWARD_H
#define NSBPF_BPF_FORWARD_H

/* How long a connection relies on the route it found. The FIB is asked again after that, so a changed route, uplink or
 * next hop is followed within a second, and an established packet needs no FIB lookup. */
#define ROUTE_LIFETIME NSBPF_CLOCK_HZ

static __always_inline enum verdict forward_to_endpoint(struct __sk_buff *skb, struct packet *p, __u32 slot)
{
	struct endpoint *ep = endpoint_get(slot);
	struct ethhdr *eth = packet_data(skb);

	if (!ep)
		return drop(p, DROP_NO_ENDPOINT);
	if ((void *)(eth + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	__builtin_memcpy(eth->h_dest, ep->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, ep->gateway_mac, ETH_ALEN);
	count_received(skb, slot);
	p->action = bpf_redirect_peer(ep->ifindex, 0);
	return VERDICT_REDIRECT;
}

static __always_inline enum verdict forward_outside(struct __sk_buff *skb, struct packet *p, __u32 oif,
						    const struct nsbpf_addr *nexthop)
{
	struct bpf_redir_neigh neigh = {};

	/* The veth's receive queue would otherwise choose the uplink's transmit queue. */
	skb->queue_mapping = 0;
	if (addr_is_any(nexthop)) {
		p->action = bpf_redirect_neigh(oif, NULL, 0, 0);
		return VERDICT_REDIRECT;
	}
	if (addr_is4(nexthop)) {
		neigh.nh_family = AF_INET;
		neigh.ipv4_nh = addr_get4(nexthop);
	} else {
		neigh.nh_family = AF_INET6;
		__builtin_memcpy(neigh.ipv6_nh, nexthop, sizeof(*nexthop));
	}
	p->action = bpf_redirect_neigh(oif, &neigh, sizeof(neigh), 0);
	return VERDICT_REDIRECT;
}

static __always_inline enum verdict forward(struct __sk_buff *skb, struct packet *p, const struct conn *c,
					    enum conn_dir dir)
{
	if (c->targets[dir])
		return forward_to_endpoint(skb, p, c->targets[dir]);
	return forward_outside(skb, p, c->oif, &c->nexthop);
}

static __always_inline bool route_is_old(__u64 ref, __u32 now)
{
	enum conn_dir dir = ref_dir(ref);
	struct conn *c = conn_get(ref);

	return c && !c->targets[dir] && (!c->oif || now - c->routed >= ROUTE_LIFETIME);
}

/*
 * May a connection go on by its new route? Its source address has to be the host's still, and if the device is another
 * one, what the host itself would use there, or no answer would find back (nf_nat_masquerade.c ends it for these
 * reasons, too).
 */
static __always_inline bool route_suits(struct __sk_buff *skb, struct packet *p, const struct conn *c,
					const struct nsbpf_addr *source, const struct network *net, struct workbench *w)
{
	bool moved = c->flags & CONN_SNAT && c->oif && c->oif != w->found.oif;
	struct nsbpf_addr addr;

	if (moved) {
		w->key = p->tuple;
		if (route_lookup(skb, p, ROUTE_SOURCE) != VERDICT_CONTINUE ||
		    !masquerade_address(net, p->ipv6, &w->route, &addr) || !addr_equal(&addr, source))
			return false;
	}
	return address_is_local(skb, p, w, source);
}

/*
 * Looks up the route of a connection towards the outside. VERDICT_PASS: the connection cannot go on, and has ended.
 * Which source the FIB is asked with: a masqueraded packet's own, unless the network has a fixed address, since the
 * translated one is the FIB's answer; but the answer through an exposed port leaves as the host address that was
 * addressed, so rules "from" that address apply.
 */
__noinline int conn_route(struct __sk_buff *skb, struct packet *p, __u32 network, __u64 ref)
{
	struct network *net = network_get(network);
	struct workbench *w = workbench_get();
	struct conn *c = conn_get(ref);
	const struct tuple *answer;
	enum verdict v;

	if (!p || !net || !w || !c)
		return VERDICT_PASS;
	answer = &c->tuples[!ref_dir(ref)];
	w->key = p->tuple;
	if (c->flags & CONN_DNAT || !addr_is_any(fixed_address(net, p->ipv6)))
		w->key.saddr = answer->daddr;
	v = route_lookup(skb, p, p->ipv6 ? ROUTE_SILENT : 0);
	if (v != VERDICT_CONTINUE)
		return v;
	if (w->route.local || !bpf_map_lookup_elem(&uplinks, &w->route.oif))
		return drop(p, DROP_NOT_UPLINK);
	w->found = w->route;
	if (!route_suits(skb, p, c, &answer->daddr, net, w)) {
		conn_end(ref);
		return VERDICT_PASS;
	}
	tuple_reverse(answer, &w->key);
	nexthop_release(skb, p, w, &w->key);
	if (!conn_is_still(c, ref))
		return VERDICT_PASS;
	c->nexthop = w->found.nexthop;
	c->oif = w->found.oif;
	c->mtu = w->found.mtu;
	c->routed = clock_now();
	return VERDICT_CONTINUE;
}

/* An original that may not pass before its target has sent something to where it comes from. */
static __noinline enum verdict conn_filter(struct packet *p, __u64 ref)
{
	struct traffic *reply = traffic_at(ref_place(ref), DIR_REPLY);
	struct conn *c = conn_get(ref);

	if (!reply || !c || !reply->packets)
		return drop(p, DROP_FILTERED);
	c->flags &= ~CONN_FILTERED;
	return VERDICT_CONTINUE;
}

/* A packet of a known connection, from either side; 0 if it has ended under our hands. */
static __always_inline enum verdict conn_forward(struct __sk_buff *skb, struct packet *p, __u64 ref, __u32 now)
{
	struct conn *c = conn_get(ref);
	enum conn_dir dir = ref_dir(ref);
	const struct tuple *answer;
	struct traffic *t;
	enum verdict v;

	if (!c)
		return drop(p, DROP_UNTRACKED);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	if (!c->targets[dir] && !packet_fits(skb, p, c->mtu)) {
		p->mtu = c->mtu;
		return drop(p, DROP_TOO_BIG);
	}
	if (c->flags & CONN_FILTERED && dir == DIR_ORIGINAL) {
		v = conn_filter(p, ref);
		if (v != VERDICT_CONTINUE)
			return v;
	}
	if (p->first_fragment && fragment_first(skb, p))
		return VERDICT_CONSUMED;
	t = traffic_at(ref_place(ref), dir);
	if (!t)
		return drop(p, DROP_UNTRACKED);
	tcp_track(skb, p, t, ref);
	conn_touch(skb, p, t, now);
	answer = &c->tuples[!dir];
	asm volatile("" : "+r"(answer)); /* or base and offset each take a place on the stack */
	v = rewrite(skb, p, answer);
	if (v == VERDICT_CONTINUE)
		v = forward(skb, p, c, dir);
	return conn_is_still(c, ref) ? v : drop(p, DROP_UNTRACKED);
}

#endif
