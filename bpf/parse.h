/* SPDX-License-Identifier: GPL-2.0-only */
/* Frame to tuple. Says nothing about whose packet it is: the caller decides what a malformed one deserves. */
#ifndef NSBPF_BPF_PARSE_H
#define NSBPF_BPF_PARSE_H

#define IPV4_MAX_HEADERS (ETH_HLEN + 60 + 20)

/* Brings the headers into the linear part: a NIC may have left nothing but the Ethernet header there. */
static __always_inline void pull_headers(struct __sk_buff *skb)
{
	if (packet_data(skb) + IPV4_MAX_HEADERS > packet_end(skb))
		bpf_skb_pull_data(skb, skb->len < IPV4_MAX_HEADERS ? skb->len : IPV4_MAX_HEADERS);
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

static __always_inline enum verdict parse_icmp(struct __sk_buff *skb, struct packet *p)
{
	struct icmphdr *icmp = packet_l4(skb, p);

	if ((void *)(icmp + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	if (icmp->type == ICMP_ECHO) {
		p->kind = L4_ECHO;
		p->tuple.sport = icmp->un.echo.id;
	} else if (icmp->type == ICMP_ECHOREPLY) {
		p->kind = L4_ECHO_REPLY;
		p->tuple.dport = icmp->un.echo.id;
	} else {
		p->kind = L4_ICMP_OTHER;
	}
	return VERDICT_CONTINUE;
}

static __always_inline bool is_translated(__u8 proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_ICMP;
}

/* Bytes of L4 header that the datagram must have room for, by its own length field. */
static __always_inline __u16 l4_minimum(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return 20;
	case IPPROTO_UDP:
	case IPPROTO_ICMP:
		return 8;
	default:
		return 0;
	}
}

static __always_inline enum verdict parse_l4(struct __sk_buff *skb, struct packet *p)
{
	switch (p->tuple.proto) {
	case IPPROTO_TCP:
		return parse_tcp(skb, p);
	case IPPROTO_UDP:
		return parse_udp(skb, p);
	case IPPROTO_ICMP:
		return parse_icmp(skb, p);
	default:
		p->kind = L4_UNKNOWN;
		return VERDICT_CONTINUE;
	}
}

static __always_inline enum verdict parse_ipv4(struct __sk_buff *skb, struct packet *p)
{
	struct iphdr *ip;
	__u32 header, total;
	__u16 fragment;

	pull_headers(skb);
	ip = packet_data(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);

	header = ip->ihl * 4;
	total = bpf_ntohs(ip->tot_len);
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
	if (total - header < l4_minimum(p->tuple.proto))
		return drop(p, DROP_MALFORMED);
	return parse_l4(skb, p);
}

#endif
