/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One tuple into another: addresses, ports, TTL and checksums. The L4 checksum goes through the helper, which alone
 * knows whether it is complete, partial (CHECKSUM_PARTIAL: only the pseudo header is summed yet) or verified by the
 * NIC; the rest is written in place.
 */
#ifndef NSBPF_BPF_REWRITE_H
#define NSBPF_BPF_REWRITE_H

static __always_inline __u32 csum_fold32(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	return (sum & 0xffffffff) + (sum >> 32);
}

static __always_inline __u16 csum_fold16(__u64 sum)
{
	__u32 folded = csum_fold32(sum);

	folded = (folded & 0xffff) + (folded >> 16);
	return (folded & 0xffff) + (folded >> 16);
}

/* RFC 1624: what a ones' complement sum gains when `from` becomes `to`. */
static __always_inline __u64 csum_change(__u32 from, __u32 to)
{
	return (__u64)(__u32)~from + to;
}

static __always_inline __u64 csum_change_addresses(const struct tuple *from, const struct tuple *to)
{
	return csum_change(addr_get4(&from->saddr), addr_get4(&to->saddr)) +
	       csum_change(addr_get4(&from->daddr), addr_get4(&to->daddr));
}

/* Where the L4 checksum is, from the start of its header; 0: it has none that we know of. */
static __always_inline __u32 l4_checksum_offset(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return offsetof(struct tcphdr, check);
	case IPPROTO_UDP:
		return offsetof(struct udphdr, check);
	case IPPROTO_ICMP:
		return offsetof(struct icmphdr, checksum);
	default:
		return 0;
	}
}

static __always_inline int rewrite_l4_checksum(struct __sk_buff *skb, const struct packet *p, const struct tuple *to)
{
	__u32 where = p->l4 + l4_checksum_offset(p->tuple.proto);
	/* A UDP checksum of 0 means "none" and stays; one that becomes 0 is sent as 0xffff (RFC 768). */
	__u64 flags = p->tuple.proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
	__u32 ports_from = (__u32)p->tuple.sport + p->tuple.dport, ports_to = (__u32)to->sport + to->dport;
	int err;

	if (p->tuple.proto != IPPROTO_ICMP) {
		err = bpf_l4_csum_replace(skb, where, 0, csum_fold32(csum_change_addresses(&p->tuple, to)),
					  flags | BPF_F_PSEUDO_HDR);
		if (err)
			return err;
	}
	if (ports_from == ports_to)
		return 0;
	return bpf_l4_csum_replace(skb, where, 0, csum_fold32(csum_change(ports_from, ports_to)), flags);
}

static __always_inline void rewrite_ip_header(struct iphdr *ip, const struct packet *p, const struct tuple *to)
{
	__u16 *ttl_word = (__u16 *)&ip->ttl; /* TTL and protocol: the unit that the checksum sums */
	__u16 before = *ttl_word;
	__u64 sum;

	ip->ttl--;
	ip->saddr = addr_get4(&to->saddr);
	ip->daddr = addr_get4(&to->daddr);
	sum = (__u16)~ip->check + csum_change_addresses(&p->tuple, to) + (__u16)~before + *ttl_word;
	ip->check = ~csum_fold16(sum);
}

/* The ports, or an ICMP query's identifier. */
static __always_inline void rewrite_ports(void *l4, const struct packet *p, const struct tuple *to)
{
	__be16 *words = l4;

	if (p->kind == L4_PORTS) {
		words[0] = to->sport;
		words[1] = to->dport;
	} else {
		/* one of the two is 0: see struct tuple */
		words[2] = to->sport | to->dport;
	}
}

/* The frame as a router would send it on: TTL one less, then translated. */
static __always_inline enum verdict rewrite(struct __sk_buff *skb, struct packet *p, const struct tuple *to)
{
	struct iphdr *ip;

	if (packet_has_l4(p) && rewrite_l4_checksum(skb, p, to))
		return drop(p, DROP_REWRITE);

	ip = packet_data(skb) + ETH_HLEN;
	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	rewrite_ip_header(ip, p, to);
	if (packet_has_l4(p)) {
		void *l4 = packet_l4(skb, p);

		if (l4 + 8 > packet_end(skb))
			return drop(p, DROP_REWRITE);
		rewrite_ports(l4, p, to);
	}
	return VERDICT_CONTINUE;
}

#endif
