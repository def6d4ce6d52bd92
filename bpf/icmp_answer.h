/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ICMP errors that a router owes: what cannot go on is dropped, and its sender told why. nsbpf goes past the host's
 * forwarding, which would do that.
 */
#ifndef NSBPF_BPF_ICMP_ANSWER_H
#define NSBPF_BPF_ICMP_ANSWER_H

/* As Linux has them: a target gets one a second, six at once (inet_peer_xrlim_allow); all of them together some
 * thousand a second, that is one a clock unit, and fifty at once (icmp_global_allow). */
#define ICMP_TARGET_BURST 6
#define ICMP_ALL_BURST 50

static __always_inline struct icmp_answer answer_for4(const struct packet *p)
{
	struct icmp_answer a = { .type = ICMP_DEST_UNREACH, .made = true, .limited = true };

	switch (p->reason) {
	case DROP_TTL:
		a.type = ICMP_TIME_EXCEEDED;
		break;
	case DROP_TOO_BIG:
		a.code = ICMP_FRAG_NEEDED;
		a.mtu = p->mtu;
		a.limited = false;
		break;
	case DROP_NO_ROUTE:
	case DROP_NO_ADDRESS:
		a.code = ICMP_NET_UNREACH;
		break;
	case DROP_UNREACHABLE:
		a.code = ICMP_HOST_UNREACH;
		break;
	case DROP_REFUSED:
		a.code = ICMP_PORT_UNREACH;
		break;
	case DROP_PROHIBITED:
	case DROP_NO_PORT:    /* RFC 5508 REQ-8 */
	case DROP_QUOTA:      /* RFC 6888 REQ-4 */
	case DROP_TABLE_FULL: /* RFC 5508 REQ-8 */
		a.code = ICMP_PKT_FILTERED;
		break;
	default:
		a.made = false;
	}
	return a;
}

static __always_inline struct icmp_answer answer_for6(const struct packet *p)
{
	struct icmp_answer a = { .type = ICMPV6_UNREACH, .made = true, .limited = true };

	switch (p->reason) {
	case DROP_TTL:
		a.type = ICMPV6_TIME_EXCEEDED;
		break;
	case DROP_TOO_BIG:
		a.type = ICMPV6_TOO_BIG;
		a.mtu = p->mtu;
		a.limited = false;
		break;
	case DROP_NO_ROUTE:
	case DROP_NO_ADDRESS:
		a.code = ICMPV6_NO_ROUTE;
		break;
	case DROP_UNREACHABLE:
		a.code = ICMPV6_ADDRESS_UNREACH;
		break;
	case DROP_REFUSED:
		a.code = ICMPV6_PORT_UNREACH;
		break;
	case DROP_PROHIBITED:
	case DROP_NO_PORT:
	case DROP_QUOTA:
	case DROP_TABLE_FULL:
		a.code = ICMPV6_PROHIBITED;
		break;
	default:
		a.made = false;
	}
	return a;
}

/* The outside need not know how full we are, nor whoever a flood claims to be. */
static __always_inline bool is_for_endpoints_only(__u8 reason)
{
	return reason == DROP_PROHIBITED || reason == DROP_NO_PORT || reason == DROP_QUOTA || reason == DROP_TABLE_FULL;
}

/* Takes `cost` from a bucket that holds `most`, all in clock units, and fills by one each unit. */
static __always_inline bool rate_take(__u32 index, __u32 cost, __u32 most)
{
	struct icmp_rate *rate = bpf_map_lookup_elem(&icmp_rates, &index);
	__u32 now = clock_now(), tokens;

	if (!rate)
		return false;
	/* 0: never used; full. Two CPUs at once may get one more than there is: so may Linux's. */
	tokens = rate->refilled ? rate->tokens + clock_age(rate->refilled, now) : most;
	if (tokens > most || clock_age(rate->refilled, now) > most)
		tokens = most;
	rate->refilled = now ? now : 1;
	rate->tokens = tokens < cost ? tokens : tokens - cost;
	return tokens >= cost;
}

static __always_inline __u32 rate_of(const struct nsbpf_addr *target)
{
	__u32 hash = (target->words[0] ^ target->words[1] ^ target->words[2] ^ target->words[3]) * 0x9e3779b1;

	return 1 + hash % (ICMP_RATES - 1);
}

static __always_inline bool answer_allowed(const struct packet *p, const struct icmp_answer *a)
{
	if (!a->limited)
		return true;
	if (!rate_take(rate_of(&p->tuple.saddr), NSBPF_CLOCK_HZ, ICMP_TARGET_BURST * NSBPF_CLOCK_HZ))
		return false;
	return rate_take(0, 1, ICMP_ALL_BURST);
}

/* RFC 1122 3.2.2, RFC 4443 2.4: never about an ICMP error, a later fragment, or what was sent to more than one. */
static __always_inline bool may_be_answered(const struct packet *p)
{
	return p->kind != L4_ICMP_OTHER && p->kind != L4_FRAGMENT && !addr_is_multicast(&p->tuple.daddr) &&
	       !addr_is_multicast(&p->tuple.saddr) && !addr_is_loopback(&p->tuple.saddr) &&
	       (p->ipv6 ? !addr_is_any(&p->tuple.saddr) : addr_get4(&p->tuple.saddr));
}

/* Back to the endpoint, from its gateway. */
static __always_inline int answer_endpoint(struct __sk_buff *skb, const struct endpoint *ep)
{
	struct ethhdr *eth = packet_data(skb);

	if ((void *)(eth + 1) > packet_end(skb))
		return TC_ACT_SHOT;
	__builtin_memcpy(eth->h_dest, ep->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, ep->gateway_mac, ETH_ALEN);
	return bpf_redirect_peer(ep->ifindex, 0);
}

/* The way to whoever sent it from outside: as the host would route it, or where that is no uplink, back the way it
 * came. */
static __always_inline void answer_route(struct __sk_buff *skb, struct packet *p, struct workbench *w, __u32 wanted)
{
	__builtin_memset(&w->key, 0, sizeof(w->key));
	w->key.saddr = p->tuple.daddr;
	w->key.daddr = p->tuple.saddr;
	w->key.proto = icmp_protocol(p->ipv6);
	if (route_lookup(skb, p, wanted) == VERDICT_CONTINUE && !w->route.local) {
		__u32 oif = w->route.oif;

		if (bpf_map_lookup_elem(&uplinks, &oif))
			return;
	}
	__builtin_memset(&w->route, 0, sizeof(w->route));
	w->route.oif = skb->ifindex;
}

/*
 * Who answers: to an endpoint its gateway; to the outside whom it has addressed, but if that is an endpoint by its own
 * address, which is a hop further, the host itself.
 */
static __always_inline bool answer_source(const struct packet *p, const struct endpoint *ep, struct workbench *w,
					  struct nsbpf_addr *source)
{
	struct network *net;

	*source = p->tuple.daddr;
	if (!ep)
		return !is_endpoint_address(source) || host_source(&w->route, p->ipv6, source);
	net = network_get(ep->network);
	if (!net)
		return false;
	if (p->ipv6)
		*source = net->gateway6;
	else
		addr_set4(source, net->gateway4);
	return !addr_is_any(source);
}

/* The packet is dropped, for p->reason: the TC action, which is a redirect if its sender is to hear of it. */
__noinline int icmp_answer(struct __sk_buff *skb, struct packet *p)
{
	struct workbench *w = workbench_get();
	__u32 quoted, slot = endpoint_slot(skb->ifindex);
	struct endpoint *ep = NULL;
	struct nsbpf_addr source;
	struct icmp_answer a;
	bool partial;
	int err;

	if (!p || !w)
		return TC_ACT_SHOT;
	a = p->ipv6 ? answer_for6(p) : answer_for4(p);
	if (!a.made || !may_be_answered(p) || (!slot && is_for_endpoints_only(p->reason)) || !answer_allowed(p, &a))
		return TC_ACT_SHOT;
	if (slot) {
		ep = endpoint_get(slot);
		if (!ep)
			return TC_ACT_SHOT;
	} else {
		source = p->tuple.daddr;
		answer_route(skb, p, w, is_endpoint_address(&source) ? ROUTE_SOURCE : 0);
	}
	if (!answer_source(p, ep, w, &source))
		return TC_ACT_SHOT;
	quoted = answer_quotes(p);
	partial = checksum_is_partial(skb, p);
	if (answer_make_room(skb, p, quoted) || (partial && answer_complete(skb, p, quoted)))
		return TC_ACT_SHOT;
	err = p->ipv6 ? answer_write6(skb, p, &a, quoted, &source) : answer_write4(skb, p, &a, quoted, &source);
	if (err)
		return TC_ACT_SHOT;
	if (ep)
		return answer_endpoint(skb, ep);
	forward_outside(skb, p, w->route.oif, &w->route.nexthop);
	return p->action;
}

static __always_inline enum event_verdict event_verdict(enum verdict v)
{
	switch (v) {
	case VERDICT_REDIRECT:
		return EVENT_FORWARDED;
	case VERDICT_CONSUMED:
		return EVENT_CONSUMED;
	case VERDICT_DROP:
		return EVENT_DROPPED;
	default:
		return EVENT_PASSED;
	}
}

/* Does a listener want to know what becomes of this packet? Then it is kept as it is now. */
static __always_inline void watch(struct __sk_buff *skb, struct packet *p)
{
	if (likely(!packets_heard))
		return;
	event_packet_begin(skb);
	p->watched = true;
}

/* The packet's verdict as tc wants it, with the drop on the books. */
static __always_inline int finish(struct __sk_buff *skb, struct packet *p, enum verdict v, enum event_program program)
{
	if (!likely(!p->watched))
		event_packet_end(skb, p, program, event_verdict(v));
	switch (v) {
	case VERDICT_REDIRECT:
		return p->action;
	case VERDICT_CONSUMED:
		return TC_ACT_SHOT;
	case VERDICT_DROP:
		count_drop(p->reason, p->endpoint);
		if (is_heard(LISTEN(EVENT_DROP)))
			event_drop(skb, p, program);
		return icmp_answer(skb, p);
	default:
		return TC_ACT_UNSPEC;
	}
}

#endif
