/* SPDX-License-Identifier: GPL-2.0-only */
/* The last stage: out of an uplink, or into an endpoint's namespace. */
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

/*
 * Which source the FIB is asked with: a masqueraded packet's own, since the translated one is the FIB's answer; but the
 * answer through an exposed port leaves as the host address that was addressed, so rules "from" that address apply.
 */
static __noinline enum verdict conn_route(struct __sk_buff *skb, struct packet *p, struct conn *c, __u32 now)
{
	struct route route = {};
	struct tuple tuple = p->tuple;
	enum verdict v;

	if (c->flags & CONN_DNAT)
		tuple.saddr = c->xlat.saddr;
	v = route_lookup(skb, p, &tuple, &route);
	if (v != VERDICT_CONTINUE)
		return v;
	if (route.local || !bpf_map_lookup_elem(&uplinks, &route.oif))
		return drop(p, DROP_NOT_UPLINK);
	c->nexthop = route.nexthop;
	c->oif = route.oif;
	c->mtu = route.mtu;
	c->routed = now;
	return VERDICT_CONTINUE;
}

/* A packet of a known connection, from either side; NULL if it has ended under our hands. */
static __always_inline enum verdict conn_forward(struct __sk_buff *skb, struct packet *p, struct conn *c)
{
	__u32 now = clock_now();
	enum verdict v;

	if (!c)
		return drop(p, DROP_UNTRACKED);
	if (!c->target && (!c->oif || now - c->routed >= ROUTE_LIFETIME)) {
		v = conn_route(skb, p, c, now);
		if (v != VERDICT_CONTINUE)
			return v;
	}
	if (!c->target && !packet_fits(skb, p, c->mtu))
		return drop(p, DROP_TOO_BIG);
	tcp_track(p, c);
	conn_touch(skb, c, now);
	if (p->first_fragment)
		fragment_remember(p);
	v = rewrite(skb, p, &c->xlat);
	if (v != VERDICT_CONTINUE)
		return v;
	if (c->target)
		return forward_to_endpoint(skb, p, c->target);
	return forward_outside(skb, p, c->oif, &c->nexthop);
}

#endif
