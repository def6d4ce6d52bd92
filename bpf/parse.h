/* SPDX-License-Identifier: GPL-2.0-only */
/* Frame to tuple. Says nothing about whose packet it is: the caller decides what a malformed one deserves. */
#ifndef NSBPF_BPF_PARSE_H
#define NSBPF_BPF_PARSE_H

#define IPV4_HLEN 20 /* without options */
#define IPV6_HLEN 40
#define IPV6_L4 (ETH_HLEN + IPV6_HLEN) /* where the L4 header is without extension headers */

/*
 * Brings so many bytes into the linear part: a NIC may have left nothing but the Ethernet header there. Never more than
 * is looked at: a socket's packet has its headers there and no byte of payload, and of a clone, as all of TCP's are,
 * the headers may be written; one byte more and the kernel copies the whole head (skb_ensure_writable).
 */
static __always_inline void pull_headers(struct __sk_buff *skb, __u32 length)
{
	void *data = packet_data(skb), *end = packet_end(skb);

	if (data + length > end && end - data < skb->len)
		bpf_skb_pull_data(skb, skb->len < length ? skb->len : length);
}

static __always_inline enum verdict parse_tcp(struct __sk_buff *skb, struct packet *p)
{
	struct tcphdr *tcp = packet_l4(skb, p);

	if ((void *)(tcp + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	p->kind = L4_PORTS;
	p->tuple.sport = tcp->source;
	p->tuple.dport = tcp->dest;
	p->tcp_flags = ((__u8 *)tcp)[13];
	p->l4_length = tcp->doff * 4;
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict parse_udp(struct __sk_buff *skb, struct packet *p)
{
	struct udphdr *udp = packet_l4(skb, p);

	if ((void *)(udp + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	p->kind = L4_PORTS;
	p->tuple.sport = udp->source;
	p->tuple.dport = udp->dest;
	p->l4_length = sizeof(*udp);
	return VERDICT_CONTINUE;
}

/* ICMP's and ICMPv6's header are the same, but for the numbers of their types. */
static __always_inline enum verdict parse_icmp(bool ipv6, struct __sk_buff *skb, struct packet *p)
{
	struct icmphdr *icmp = packet_l4(skb, p);

	if ((void *)(icmp + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	if (icmp->type == (ipv6 ? ICMPV6_ECHO_REQUEST : ICMP_ECHO)) {
		p->kind = L4_ECHO;
		p->tuple.sport = icmp->un.echo.id;
	} else if (icmp->type == (ipv6 ? ICMPV6_ECHO_REPLY : ICMP_ECHOREPLY)) {
		p->kind = L4_ECHO_REPLY;
		p->tuple.dport = icmp->un.echo.id;
	} else {
		p->kind = L4_ICMP_OTHER;
	}
	return VERDICT_CONTINUE;
}

static __always_inline __u8 icmp_protocol(bool ipv6)
{
	return ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
}

static __always_inline bool is_translated(bool ipv6, __u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == icmp_protocol(ipv6);
}

/* May this fragment be of a connection's datagram? What follows IPv6's header for it need not be the L4 protocol yet.
 */
static __always_inline bool fragment_may_be_translated(const struct packet *p)
{
	return p->ipv6 || is_translated(false, p->tuple.proto);
}

/* The datagram must have room for the L4 header, by its own length field. */
static __always_inline enum verdict parse_l4(bool ipv6, struct __sk_buff *skb, struct packet *p)
{
	__u8 proto = p->tuple.proto;
	__u32 room = p->length + ETH_HLEN - p->l4, header;

	if (!is_translated(ipv6, proto)) {
		p->kind = L4_UNKNOWN;
		return VERDICT_CONTINUE;
	}
	header = proto == IPPROTO_TCP ? sizeof(struct tcphdr) : sizeof(struct udphdr);
	if (room < header)
		return drop(p, DROP_MALFORMED);
	pull_headers(skb, p->l4 + header);
	if (proto == IPPROTO_TCP)
		return parse_tcp(skb, p);
	return proto == IPPROTO_UDP ? parse_udp(skb, p) : parse_icmp(ipv6, skb, p);
}

/* A GSO packet of more than 64 KiB (BIG TCP, where a device's gso_max_size allows it) has no room for its length in the
 * header: that says 0 (iph_totlen(); RFC 2675). */
static __always_inline bool is_big_tcp(struct __sk_buff *skb, __be16 length)
{
	return !length && skb->gso_size;
}

static __always_inline enum verdict parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr *ip;
	__u32 header, total;
	__u16 fragment;

	pull_headers(skb, ETH_HLEN + IPV4_HLEN);
	ip = packet_data(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);

	header = ip->ihl * 4;
	total = is_big_tcp(skb, ip->tot_len) ? skb->len - ETH_HLEN : bpf_ntohs(ip->tot_len);
	if (ip->version != 4 || header < sizeof(*ip) || total < header || total + ETH_HLEN > skb->len)
		return drop(p, DROP_MALFORMED);

	addr_set4(&p->tuple.saddr, ip->saddr);
	addr_set4(&p->tuple.daddr, ip->daddr);
	p->tuple.proto = ip->protocol;
	p->length = total;
	p->ttl = ip->ttl;
	p->tos = ip->tos;
	p->l4 = ETH_HLEN + header;

	fragment = bpf_ntohs(ip->frag_off);
	p->fragment_id = ip->id;
	if (fragment & IP_OFFSET) {
		p->kind = L4_FRAGMENT;
		return VERDICT_CONTINUE;
	}
	p->first_fragment = fragment & IP_MF;
	return parse_l4(false, skb, p);
}

/* RFC 8200 4: the headers that may stand before the L4 header, by the numbers of protocols. */
#define IPV6_HOP_BY_HOP 0
#define IPV6_ROUTING 43
#define IPV6_FRAGMENT 44
#define IPV6_DESTINATION 60
#define IPV6_MORE_FRAGMENTS 0x0001
#define IPV6_FRAGMENT_OFFSET 0xfff8

#define EXTENSIONS_MAX 8
#define L4_OFFSET_MAX 255 /* what packet.l4 can say: 200 bytes of them */

static __always_inline bool is_extension(__u8 header)
{
	return header == IPV6_HOP_BY_HOP || header == IPV6_ROUTING || header == IPV6_FRAGMENT ||
	       header == IPV6_DESTINATION;
}

struct extension_walk {
	struct __sk_buff *skb;
	struct packet *p;
	__u32 at;
	__u32 end; /* of the datagram */
	bool fragmented;
	bool bad;
};

/* The first 8 bytes of an extension header; none is shorter. */
struct extension {
	__u8 next;
	__u8 length; /* in units of 8 bytes, the first not counted; a fragment header has no such field */
	union {
		__be16 offset; /* of a fragment, with its flags */
		struct {
			__u8 type;
			__u8 left; /* segments of a routing header */
		};
	};
	__be32 id; /* of a fragment */
};

/* One header. What is behind a later fragment's header is the middle of something. */
static long extension_step(__u32 step, struct extension_walk *w)
{
	struct packet *p = w->p;
	__u8 header = p->tuple.proto;
	struct extension ext;
	__u32 length;

	if (!is_extension(header))
		return 1;
	w->bad = true;
	/* RFC 8200 4.1: hop-by-hop options come first, if at all. */
	if ((header == IPV6_HOP_BY_HOP && step) || bpf_skb_load_bytes(w->skb, w->at, &ext, sizeof(ext)))
		return 1;
	length = header == IPV6_FRAGMENT ? sizeof(ext) : (ext.length + 1) * 8;
	if (w->at + length > w->end || w->at + length > L4_OFFSET_MAX)
		return 1;
	/* A source route: the address in the header is not where the packet is going. RFC 5095 forbids the old kind. */
	if (header == IPV6_ROUTING && ext.left)
		return 1;
	if (header == IPV6_FRAGMENT) {
		if (w->fragmented)
			return 1;
		w->fragmented = true;
		p->fragment_id = ext.id;
		p->first_fragment = ext.offset & bpf_htons(IPV6_MORE_FRAGMENTS);
		if (ext.offset & bpf_htons(IPV6_FRAGMENT_OFFSET)) {
			p->first_fragment = false;
			p->kind = L4_FRAGMENT;
		}
	}
	w->bad = false;
	w->at += length;
	p->tuple.proto = ext.next;
	return p->kind == L4_FRAGMENT;
}

/*
 * Walks the extension headers that begin at this offset of the frame. Then p->tuple.proto is what follows them, and
 * p->l4 where that is. Wants p->length; `start` is where the IP header is. Not static: see from_endpoint_new().
 */
__noinline int parse_extensions(struct __sk_buff *skb, struct packet *p, __u32 start)
{
	struct extension_walk w = { .skb = skb, .p = p, .at = start + IPV6_HLEN };

	if (!p)
		return VERDICT_DROP;
	w.end = start + p->length;
	bpf_loop(EXTENSIONS_MAX, extension_step, &w, 0);
	if (w.bad || w.at > L4_OFFSET_MAX || (p->kind != L4_FRAGMENT && is_extension(p->tuple.proto)))
		return drop(p, DROP_EXTENSION);
	p->l4 = w.at;
	return VERDICT_CONTINUE;
}

static __always_inline void addr_set6(struct nsbpf_addr *addr, const struct in6_addr *addr6)
{
	__builtin_memcpy(addr, addr6, sizeof(*addr));
}

/* Not static: see from_endpoint_new(). */
__noinline int parse_ipv6(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr *ip;

	if (!p)
		return VERDICT_DROP;
	pull_headers(skb, IPV6_L4);
	ip = packet_data(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	p->length = is_big_tcp(skb, ip->payload_len) ? skb->len - ETH_HLEN : IPV6_HLEN + bpf_ntohs(ip->payload_len);
	if (ip->version != 6 || p->length + ETH_HLEN > skb->len)
		return drop(p, DROP_MALFORMED);

	p->ipv6 = true;
	addr_set6(&p->tuple.saddr, &ip->saddr);
	addr_set6(&p->tuple.daddr, &ip->daddr);
	/* In a tuple these are IPv4 addresses; on the wire they are nobody's (RFC 4291 2.5.5.2). */
	if (addr_is4(&p->tuple.saddr) || addr_is4(&p->tuple.daddr) || addr_is_any(&p->tuple.daddr))
		return drop(p, DROP_MARTIAN);
	p->tuple.proto = ip->nexthdr;
	p->ttl = ip->hop_limit;
	p->tos = ip->priority << 4 | ip->flow_lbl[0] >> 4;
	p->l4 = IPV6_L4;
	if (is_extension(ip->nexthdr)) {
		enum verdict v = parse_extensions(skb, p, ETH_HLEN);

		if (v != VERDICT_CONTINUE || p->kind == L4_FRAGMENT)
			return v;
	}
	return parse_l4(true, skb, p);
}

#endif
