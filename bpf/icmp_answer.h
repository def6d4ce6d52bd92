/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The ICMP errors that a router owes: what cannot go on is dropped, and its sender told why. nsbpf goes past the host's
 * forwarding, which would do that.
 */
#ifndef NSBPF_BPF_ICMP_ANSWER_H
#define NSBPF_BPF_ICMP_ANSWER_H

#define ICMP_ERROR_MAX 576 /* RFC 1812 4.3.2.3: as much of the packet as fits so many bytes of IP datagram */
#define ICMP_ERROR_HEADERS (sizeof(struct iphdr) + ICMP_HLEN)
#define ICMP_ERROR_TTL 64
#define ICMP_ERROR_TOS 0xc0 /* RFC 1812 4.3.2.5: precedence 6 */
#define IP_DF 0x4000

/* As Linux has them: a target gets one a second, six at once (inet_peer_xrlim_allow); all of them together some
 * thousand a second, that is one a clock unit, and fifty at once (icmp_global_allow). */
#define ICMP_TARGET_BURST 6
#define ICMP_ALL_BURST 50

struct icmp_answer {
	__u8 type, code;
	bool made;    /* there is an answer to this reason */
	bool limited; /* the path MTU is always told (icmpv4_mask_allow): a flood must not hide it */
	__u16 mtu;
};

static __always_inline struct icmp_answer answer_for(const struct packet *p)
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

/* RFC 1122 3.2.2: never about an ICMP error, a later fragment, or what was sent to more than one. */
static __always_inline bool may_be_answered(const struct packet *p)
{
	return p->kind != L4_ICMP_OTHER && p->kind != L4_FRAGMENT && !addr_is_multicast(&p->tuple.daddr) &&
	       !addr_is_multicast(&p->tuple.saddr) && !addr_is_loopback(&p->tuple.saddr) && addr_get4(&p->tuple.saddr);
}

/* Headers before the packet, which is cut to what is quoted. The offset of the IP header does not change. */
static __always_inline int answer_make_room(struct __sk_buff *skb, __u32 quoted)
{
	if (bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0))
		return -EINVAL;
	return bpf_skb_adjust_room(skb, ICMP_ERROR_HEADERS, BPF_ADJ_ROOM_MAC, 0);
}

/*
 * Is the checksum only begun, for a device to complete (CHECKSUM_PARTIAL)? It is then the sum of the pseudo header. One
 * that is so by chance may be taken for it: nothing depends on the checksum of a quoted packet.
 */
static __always_inline bool checksum_is_partial(struct __sk_buff *skb, const struct packet *p)
{
	__u32 length = p->length + ETH_HLEN - p->l4;
	__u16 check;

	if (p->kind != L4_PORTS ||
	    bpf_skb_load_bytes(skb, p->l4 + l4_checksum_offset(p->tuple.proto), &check, sizeof(check)))
		return false;
	return check == csum_fold16((__u64)addr_get4(&p->tuple.saddr) + addr_get4(&p->tuple.daddr) +
				    bpf_htons(p->tuple.proto) + bpf_htons(length));
}

/*
 * The frame stays CHECKSUM_PARTIAL, so a device that completes it will write into the quote, and the ICMP checksum
 * would no longer fit. Unless there is nothing to complete: the device writes ~(rest + check), so check has to be that
 * already; in ones' complement check = -rest / 2.
 */
static __always_inline int answer_complete(struct __sk_buff *skb, const struct packet *p, __u32 quoted)
{
	__u32 l4 = p->l4 + ICMP_ERROR_HEADERS, where = l4 + l4_checksum_offset(p->tuple.proto);
	__u16 check = 0;

	if (bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0))
		return -EINVAL;
	check = (0xffff - skb_sum(skb, l4, ETH_HLEN + ICMP_ERROR_HEADERS + quoted - l4)) * 0x8000U % 0xffff;
	return bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0);
}

static __always_inline int answer_write(struct __sk_buff *skb, const struct packet *p, const struct icmp_answer *a,
					__u32 quoted, __be32 source)
{
	struct {
		struct iphdr ip;
		struct icmphdr icmp;
	} h = { .ip = { .version = 4,
			.ihl = 5,
			.tos = ICMP_ERROR_TOS,
			.tot_len = bpf_htons(ICMP_ERROR_HEADERS + quoted),
			.frag_off = bpf_htons(IP_DF),
			.ttl = ICMP_ERROR_TTL,
			.protocol = IPPROTO_ICMP,
			.saddr = source,
			.daddr = addr_get4(&p->tuple.saddr) },
		.icmp = { .type = a->type, .code = a->code } };

	h.icmp.un.frag.mtu = bpf_htons(a->mtu);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), 0))
		return -EINVAL;
	h.ip.check = ~skb_sum(skb, ETH_HLEN, sizeof(h.ip));
	h.icmp.checksum = ~skb_sum(skb, ETH_HLEN + sizeof(h.ip), ICMP_HLEN + quoted);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), 0);
}

/* Back to the endpoint, from its gateway. */
static __always_inline int answer_endpoint(struct __sk_buff *skb, const struct endpoint *ep)
{
	struct ethhdr *eth = packet_data(skb);

	if ((void *)(eth + 1) > packet_end(skb))
		return TC_ACT_SHOT;
	__builtin_memcpy(eth->h_dest, ep->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, ep->gateway_mac, ETH_ALEN);
	eth->h_proto = bpf_htons(ETH_P_IP);
	return bpf_redirect_peer(ep->ifindex, 0);
}

/* To whoever sent it from outside: as the host would route it, or where that is no uplink, back the way it came. */
static __always_inline int answer_outside(struct __sk_buff *skb, struct packet *p, __be32 source)
{
	struct workbench *w = workbench_get();

	if (!w)
		return TC_ACT_SHOT;
	__builtin_memset(&w->key, 0, sizeof(w->key));
	addr_set4(&w->key.saddr, source);
	w->key.daddr = p->tuple.saddr;
	w->key.proto = IPPROTO_ICMP;
	if (route_lookup(skb, p, w) != VERDICT_CONTINUE || w->route.local ||
	    !bpf_map_lookup_elem(&uplinks, &w->route.oif)) {
		w->route.oif = skb->ifindex;
		__builtin_memset(&w->route.nexthop, 0, sizeof(w->route.nexthop));
	}
	forward_outside(skb, p, w->route.oif, &w->route.nexthop);
	return p->action;
}

/* The packet is dropped, for p->reason: the TC action, which is a redirect if its sender is to hear of it. */
__noinline int icmp_answer(struct __sk_buff *skb, struct packet *p)
{
	struct icmp_answer a;
	struct endpoint *ep = NULL;
	__u32 quoted, slot = endpoint_slot(skb->ifindex);
	bool partial;
	__be32 source;

	if (!p)
		return TC_ACT_SHOT;
	a = answer_for(p);
	if (!a.made || !may_be_answered(p))
		return TC_ACT_SHOT;
	if (!slot && a.code == ICMP_PKT_FILTERED)
		return TC_ACT_SHOT; /* the outside need not know how full we are, nor whoever a flood claims to be */
	if (!answer_allowed(p, &a))
		return TC_ACT_SHOT;
	source = addr_get4(&p->tuple.daddr);
	if (slot) {
		struct network *net;

		ep = endpoint_get(slot);
		net = ep ? network_get(ep->network) : NULL;
		if (!net)
			return TC_ACT_SHOT;
		source = net->gateway4;
	}
	quoted = p->length;
	if (quoted > ICMP_ERROR_MAX - ICMP_ERROR_HEADERS)
		quoted = ICMP_ERROR_MAX - ICMP_ERROR_HEADERS;
	partial = checksum_is_partial(skb, p);
	if (answer_make_room(skb, quoted) || (partial && answer_complete(skb, p, quoted)) ||
	    answer_write(skb, p, &a, quoted, source))
		return TC_ACT_SHOT;
	return ep ? answer_endpoint(skb, ep) : answer_outside(skb, p, source);
}

/* The packet's verdict as tc wants it, with the drop on the books. */
static __always_inline int finish(struct __sk_buff *skb, struct packet *p, enum verdict v)
{
	switch (v) {
	case VERDICT_REDIRECT:
		return p->action;
	case VERDICT_CONSUMED:
		return TC_ACT_SHOT;
	case VERDICT_DROP:
		count_drop(p->reason, p->endpoint);
		return icmp_answer(skb, p);
	default:
		return TC_ACT_UNSPEC;
	}
}

#endif
