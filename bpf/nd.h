/* SPDX-License-Identifier: GPL-2.0-only */
/* IPv6 neighbour discovery: as with ARP, a namespace's questions are answered here, and what else it says goes no
 * further. And what else stays on a link. */
#ifndef NSBPF_BPF_ND_H
#define NSBPF_BPF_ND_H

#define ND_ROUTER_SOLICITATION 133
#define ND_ROUTER_ADVERTISEMENT 134
#define ND_SOLICITATION 135
#define ND_ADVERTISEMENT 136
#define ND_REDIRECT 137

#define ND_SOURCE_MAC 1 /* options */
#define ND_TARGET_MAC 2

#define ND_ROUTER 0x80 /* flags of an advertisement */
#define ND_SOLICITED 0x40
#define ND_OVERRIDE 0x20

#define ND_HOP_LIMIT 255
#define ND_OPTIONS_MAX 4

/* RFC 4861 4.3 and 4.4: solicitation and advertisement. */
struct nd_neighbour {
	__u8 type, code;
	__be16 checksum;
	__u8 flags;
	__u8 reserved[3];
	struct nsbpf_addr target;
};

/* RFC 4861 4.6.1 */
struct nd_link_address {
	__u8 type, length; /* in units of 8 bytes */
	__u8 mac[ETH_ALEN];
};

struct nd_answer {
	struct ipv6hdr ip;
	struct nd_neighbour nd;
	struct nd_link_address link;
};

/* RFC 4861 7.1.1: without length 0; and the sender's own MAC, if he tells one. */
static __always_inline enum verdict nd_options_validate(struct __sk_buff *skb, struct packet *p,
							const struct endpoint *ep, bool anonymous)
{
	__u32 at = p->l4 + sizeof(struct nd_neighbour), end = p->length + ETH_HLEN;
	struct nd_link_address option;

	for (int i = 0; i < ND_OPTIONS_MAX && at < end; i++) {
		if (bpf_skb_load_bytes(skb, at, &option, sizeof(option)) || !option.length)
			return drop(p, DROP_MALFORMED);
		if (option.type == ND_SOURCE_MAC && anonymous)
			return drop(p, DROP_MALFORMED);
		if (option.type == ND_SOURCE_MAC && !mac_equal(option.mac, ep->mac))
			return drop(p, DROP_SPOOFED_ND);
		at += option.length * 8;
	}
	return at == end ? VERDICT_CONTINUE : drop(p, DROP_MALFORMED);
}

static __always_inline int nd_write(struct __sk_buff *skb, const struct nd_answer *a, const struct endpoint *ep)
{
	struct ethhdr *eth;

	if (bpf_skb_change_tail(skb, ETH_HLEN + sizeof(*a), 0) ||
	    bpf_skb_store_bytes(skb, ETH_HLEN, a, sizeof(*a), BPF_F_RECOMPUTE_CSUM))
		return -EINVAL;
	eth = packet_data(skb);
	if ((void *)(eth + 1) > packet_end(skb))
		return -EINVAL;
	__builtin_memcpy(eth->h_dest, ep->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, ep->gateway_mac, ETH_ALEN);
	return 0;
}

/*
 * The answer, with the gateway's MAC for the same reason as ARP's. One to a probe for duplicates goes to all nodes (RFC
 * 4861 7.2.4), by IP: the only node there is has a MAC.
 */
static __always_inline enum verdict nd_advertise(struct __sk_buff *skb, struct packet *p, const struct endpoint *ep,
						 const struct nsbpf_addr *target, __u8 flags)
{
	__be16 length = bpf_htons(sizeof(struct nd_neighbour) + sizeof(struct nd_link_address));
	struct nd_answer a = {
		.ip = { .version = 6, .payload_len = length, .nexthdr = IPPROTO_ICMPV6, .hop_limit = ND_HOP_LIMIT },
		.nd = { .type = ND_ADVERTISEMENT, .flags = flags | ND_OVERRIDE, .target = *target },
		.link = { .type = ND_TARGET_MAC, .length = 1 },
	};
	__s64 sum;

	__builtin_memcpy(a.link.mac, ep->gateway_mac, ETH_ALEN);
	__builtin_memcpy(&a.ip.saddr, target, sizeof(*target));
	if (addr_is_any(&p->tuple.saddr)) {
		a.ip.daddr.in6_u.u6_addr32[0] = bpf_htonl(0xff020000);
		a.ip.daddr.in6_u.u6_addr32[3] = bpf_htonl(1);
	} else {
		a.nd.flags |= ND_SOLICITED;
		__builtin_memcpy(&a.ip.daddr, &p->tuple.saddr, sizeof(a.ip.daddr));
	}
	sum = bpf_csum_diff(NULL, 0, (__be32 *)&a.ip.saddr, sizeof(a) - offsetof(struct ipv6hdr, saddr),
			    length + bpf_htons(IPPROTO_ICMPV6));
	a.nd.checksum = ~csum_fold16((__u32)sum);
	if (nd_write(skb, &a, ep))
		return drop(p, DROP_REWRITE);
	p->action = bpf_redirect_peer(ep->ifindex, 0);
	return VERDICT_REDIRECT;
}

/* Solicitations and advertisements of neighbours. */
static __always_inline enum verdict nd_neighbour(struct __sk_buff *skb, struct packet *p, const struct endpoint *ep,
						 const struct network *net, __u8 type)
{
	bool anonymous = addr_is_any(&p->tuple.saddr), router;
	struct nd_neighbour nd;
	enum verdict v;

	if (bpf_skb_load_bytes(skb, p->l4, &nd, sizeof(nd)) || nd.code || addr_is_multicast(&nd.target) ||
	    (anonymous && !addr_is_multicast(&p->tuple.daddr)))
		return drop(p, DROP_MALFORMED);
	if (!anonymous && !addr_is_link_local(&p->tuple.saddr) && !addr_equal(&p->tuple.saddr, &ep->addr6))
		return drop(p, DROP_SPOOFED_ND);
	v = nd_options_validate(skb, p, ep, anonymous);
	if (v != VERDICT_CONTINUE)
		return v;
	if (icmp_sum(skb, p, &p->tuple) != 0xffff)
		return drop(p, DROP_CHECKSUM);
	router = addr_equal(&nd.target, &net->gateway6);
	if (type == ND_ADVERTISEMENT) /* of itself: nobody asked, the host's neighbour entry is permanent */
		return addr_equal(&nd.target, &ep->addr6) || addr_is_link_local(&nd.target) ? VERDICT_CONSUMED
											    : drop(p, DROP_SPOOFED_ND);
	if (!addr_is_any(&ep->addr6) && !addr_equal(&nd.target, &ep->addr6) &&
	    (router || (in_subnet6(net, &nd.target) && neighbour_slot(ep->network, &nd.target))))
		return nd_advertise(skb, p, ep, &nd.target, router ? ND_ROUTER : 0);
	return anonymous ? VERDICT_CONSUMED : drop(p, DROP_NO_ENDPOINT); /* a probe in vain is as it should be */
}

/* VERDICT_CONTINUE: it is none. */
static __always_inline enum verdict nd_message(struct __sk_buff *skb, struct packet *p, const struct endpoint *ep,
					       const struct network *net)
{
	__u8 type;

	if (bpf_skb_load_bytes(skb, p->l4, &type, sizeof(type)))
		return drop(p, DROP_MALFORMED);
	switch (type) {
	case ND_ROUTER_SOLICITATION: /* no router advertises itself here: the namespace has been told its route */
		return VERDICT_CONSUMED;
	case ND_ROUTER_ADVERTISEMENT:
	case ND_REDIRECT:
		return drop(p, DROP_SPOOFED_ND);
	case ND_SOLICITATION:
	case ND_ADVERTISEMENT:
		break;
	default:
		return VERDICT_CONTINUE;
	}
	/* RFC 4861 7.1: what a router has forwarded is not from the link. RFC 6980: a fragment header must not be
	 * there, and no stack puts another one there. */
	if (p->ttl != ND_HOP_LIMIT || p->l4 != IPV6_L4 || p->length < IPV6_HLEN + sizeof(struct nd_neighbour))
		return drop(p, DROP_MALFORMED);
	return nd_neighbour(skb, p, ep, net, type);
}

/* ff02::16: who wants which group is told to multicast routers (RFC 3810), and there is none. */
static __always_inline bool is_multicast_report(const struct nsbpf_addr *addr)
{
	return addr->words[0] == bpf_htonl(0xff020000) && !addr->words[1] && !addr->words[2] &&
	       addr->words[3] == bpf_htonl(0x16);
}

/*
 * What stays on the link, or pretends to come from another one: IPv6 that an endpoint sends with other addresses than
 * its own and a unicast destination, and all ICMPv6 that is no echo. VERDICT_CONTINUE: it may go on after all.
 */
__noinline int link_scope(struct __sk_buff *skb, struct packet *p)
{
	const struct nsbpf_addr *source, *destination;
	struct endpoint *ep;
	struct network *net;
	enum verdict v;
	bool own;

	if (!p)
		return VERDICT_DROP;
	ep = endpoint_get(p->endpoint);
	net = ep ? network_get(ep->network) : NULL;
	if (!net)
		return drop(p, DROP_NO_ENDPOINT);
	if (p->kind == L4_ICMP_OTHER) {
		v = nd_message(skb, p, ep, net);
		if (v != VERDICT_CONTINUE)
			return v;
	}
	source = &p->tuple.saddr;
	destination = &p->tuple.daddr;
	own = addr_equal(source, &ep->addr6) && !addr_is_any(source);
	if (!own && !addr_is_link_local(source) && !addr_is_any(source))
		return drop(p, DROP_SPOOFED_IP);
	if (addr_is_multicast(destination))
		return is_multicast_report(destination) ? VERDICT_CONSUMED : drop(p, DROP_MULTICAST);
	if (addr_is_link_local(source) || addr_is_link_local(destination))
		return drop(p, DROP_LINK_LOCAL);
	return own ? VERDICT_CONTINUE : drop(p, DROP_SPOOFED_IP);
}

#endif
