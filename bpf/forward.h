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

static __always_inline enum verdict forward(struct __sk_buff *skb, struct packet *p, const struct conn *c)
{
	if (c->target)
		return forward_to_endpoint(skb, p, c->target);
	return forward_outside(skb, p, c->oif, &c->nexthop);
}

static __always_inline bool route_is_old(const struct conn *c, __u32 now)
{
	return !c->target && (!c->oif || now - c->routed >= ROUTE_LIFETIME);
}

/*
 * May a connection go on by its new route? Its source address has to be the host's still, and if the device is another
 * one, what the host itself would use there, or no answer would find back (nf_nat_masquerade.c ends it for these
 * reasons, too).
 */
static __always_inline bool route_suits(struct __sk_buff *skb, struct packet *p, const struct conn *c,
					const struct network *net, struct workbench *w)
{
	bool moved = c->flags & CONN_SNAT && c->oif && c->oif != w->found.oif;
	struct nsbpf_addr addr;

	if (moved) {
		w->key = p->tuple;
		if (route_lookup(skb, p, w, ROUTE_SOURCE) != VERDICT_CONTINUE ||
		    !masquerade_address(net, p->ipv6, &w->route, &addr) || !addr_equal(&addr, &c->xlat.saddr))
			return false;
	}
	return address_is_local(skb, p, w, &c->xlat.saddr);
}

static __always_inline void conn_end_either(const struct tuple *key, const struct conn *c)
{
	struct tuple original = *key;

	if (!(c->flags & CONN_ORIGINAL))
		tuple_reverse(&c->xlat, &original);
	conn_end(&original);
}

/*
 * Looks up the route of a connection towards the outside. VERDICT_PASS: the connection cannot go on, and has ended.
 * Which source the FIB is asked with: a masqueraded packet's own, unless the network has a fixed address, since the
 * translated one is the FIB's answer; but the answer through an exposed port leaves as the host address that was
 * addressed, so rules "from" that address apply.
 */
__noinline int conn_route(struct __sk_buff *skb, struct packet *p, __u32 network)
{
	struct network *net = network_get(network);
	struct workbench *w = workbench_get();
	struct tuple key;
	struct conn *c;
	enum verdict v;

	if (!p || !net || !w)
		return VERDICT_PASS;
	key = p->tuple;
	c = conn_lookup(&key);
	if (!c)
		return VERDICT_PASS;
	w->key = key;
	if (c->flags & CONN_DNAT || !addr_is_any(fixed_address(net, p->ipv6)))
		w->key.saddr = c->xlat.saddr;
	v = route_lookup(skb, p, w, p->ipv6 ? ROUTE_SILENT : 0);
	if (v != VERDICT_CONTINUE)
		return v;
	if (w->route.local || !bpf_map_lookup_elem(&uplinks, &w->route.oif))
		return drop(p, DROP_NOT_UPLINK);
	w->found = w->route;
	if (!route_suits(skb, p, c, net, w)) {
		conn_end_either(&key, c);
		return VERDICT_PASS;
	}
	nexthop_release(skb, p, w, &c->xlat);
	if (!conn_is_still(c, &key))
		return VERDICT_PASS;
	c->nexthop = w->found.nexthop;
	c->oif = w->found.oif;
	c->mtu = w->found.mtu;
	c->routed = clock_now();
	return VERDICT_CONTINUE;
}

/* An original that may not pass before its target has sent something to where it comes from. */
static __noinline enum verdict conn_filter(struct packet *p, struct conn *c)
{
	struct conn *reply = conn_other_direction(c);

	if (!reply || !reply->packets)
		return drop(p, DROP_FILTERED);
	c->flags &= ~CONN_FILTERED;
	return VERDICT_CONTINUE;
}

/* A packet of a known connection, from either side; NULL if it has ended under our hands. */
static __always_inline enum verdict conn_forward(struct __sk_buff *skb, struct packet *p, struct conn *c, __u32 now)
{
	enum verdict v;

	if (!c)
		return drop(p, DROP_UNTRACKED);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	if (!c->target && !packet_fits(skb, p, c->mtu)) {
		p->mtu = c->mtu;
		return drop(p, DROP_TOO_BIG);
	}
	if (c->flags & CONN_FILTERED) {
		v = conn_filter(p, c);
		if (v != VERDICT_CONTINUE)
			return v;
	}
	if (p->first_fragment && fragment_first(skb, p))
		return VERDICT_CONSUMED;
	tcp_track(skb, p, c);
	conn_touch(skb, p, c, now);
	v = rewrite(skb, p, &c->xlat);
	if (v == VERDICT_CONTINUE)
		v = forward(skb, p, c);
	return conn_is_still(c, &p->tuple) ? v : drop(p, DROP_UNTRACKED);
}

#endif
