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

static __always_inline __u64 csum_change_addresses4(const struct tuple *from, const struct tuple *to)
{
	return csum_change(addr_get4(&from->saddr), addr_get4(&to->saddr)) +
	       csum_change(addr_get4(&from->daddr), addr_get4(&to->daddr));
}

static __always_inline __u64 csum_change_addresses6(const struct tuple *from, const struct tuple *to)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += csum_change(from->saddr.words[i], to->saddr.words[i]) +
		       csum_change(from->daddr.words[i], to->daddr.words[i]);
	return sum;
}

static __always_inline __u64 csum_change_ports(const struct tuple *from, const struct tuple *to)
{
	return csum_change((__u32)from->sport + from->dport, (__u32)to->sport + to->dport);
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
	case IPPROTO_ICMPV6:
		return offsetof(struct icmphdr, checksum);
	default:
		return 0;
	}
}

/* A UDP checksum of 0 means "none" and stays; one that becomes 0 is sent as 0xffff (RFC 768). */
static __always_inline __u64 l4_checksum_flags(__u8 proto)
{
	return proto == IPPROTO_UDP ? BPF_F_MARK_MANGLED_0 : 0;
}

static __always_inline int rewrite_checksum_of_addresses4(struct __sk_buff *skb, const struct packet *p,
							  const struct tuple *to, __u32 where)
{
	__u64 flags = l4_checksum_flags(p->tuple.proto) | BPF_F_PSEUDO_HDR;

	if (p->tuple.proto == IPPROTO_ICMP)
		return 0;
	return bpf_l4_csum_replace(skb, where, 0, csum_fold32(csum_change_addresses4(&p->tuple, to)), flags);
}

/*
 * With CHECKSUM_COMPLETE skb->csum is the sum of the whole datagram. That of IPv4 changes by what the L4 checksum does,
 * since the header's own evens out the addresses; that of IPv6 not at all, which the helper has to be told. One that
 * can't be told is put right afterwards; for other skbs that call does nothing.
 */
static __always_inline int rewrite_checksum_of_addresses6(struct __sk_buff *skb, const struct packet *p,
							  const struct tuple *to, __u32 where)
{
	__u32 change = csum_fold32(csum_change_addresses6(&p->tuple, to));
	__u64 flags = l4_checksum_flags(p->tuple.proto) | BPF_F_PSEUDO_HDR;
	struct settings *s = settings_get();
	int err;

	if (s && s->features & FEATURE_CSUM_IPV6)
		return bpf_l4_csum_replace(skb, where, 0, change, flags | BPF_F_IPV6);
	err = bpf_l4_csum_replace(skb, where, 0, change, flags);
	if (!err)
		bpf_csum_update(skb, change);
	return err;
}

static __always_inline int rewrite_checksum_of_ports(struct __sk_buff *skb, const struct packet *p,
						     const struct tuple *to, __u32 where)
{
	if (p->tuple.sport == to->sport && p->tuple.dport == to->dport)
		return 0;
	return bpf_l4_csum_replace(skb, where, 0, csum_fold32(csum_change_ports(&p->tuple, to)),
				   l4_checksum_flags(p->tuple.proto));
}

static __always_inline int rewrite_l4_checksum(bool ipv6, struct __sk_buff *skb, const struct packet *p,
					       const struct tuple *to)
{
	__u32 where = p->l4 + l4_checksum_offset(p->tuple.proto);
	int err = ipv6 ? rewrite_checksum_of_addresses6(skb, p, to, where)
		       : rewrite_checksum_of_addresses4(skb, p, to, where);

	return err ? err : rewrite_checksum_of_ports(skb, p, to, where);
}

/* TTL one less, and the addresses. */
static __always_inline enum verdict rewrite_header4(struct __sk_buff *skb, struct packet *p, const struct tuple *to)
{
	struct iphdr *ip = packet_data(skb) + ETH_HLEN;
	__u16 *ttl_word = (__u16 *)&ip->ttl; /* TTL and protocol: the unit that the checksum sums */
	__u16 before;
	__u64 sum;

	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	before = *ttl_word;
	ip->ttl--;
	ip->saddr = addr_get4(&to->saddr);
	ip->daddr = addr_get4(&to->daddr);
	sum = (__u16)~ip->check + csum_change_addresses4(&p->tuple, to) + (__u16)~before + *ttl_word;
	ip->check = ~csum_fold16(sum);
	return VERDICT_CONTINUE;
}

/*
 * Nothing in the header evens out what changes there. With CHECKSUM_COMPLETE the sum has to follow, but for what the L4
 * checksum has taken up already (`summed`); without, the helper says that there is none.
 */
static __always_inline enum verdict rewrite_header6(struct __sk_buff *skb, struct packet *p, const struct tuple *to,
						    bool summed)
{
	struct ipv6hdr *ip = packet_data(skb) + ETH_HLEN;
	__u16 *ttl_word = (__u16 *)&ip->nexthdr; /* next header and hop limit */
	__u16 before;
	__u64 sum;

	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	before = *ttl_word;
	ip->hop_limit--;
	__builtin_memcpy(&ip->saddr, &to->saddr, sizeof(to->saddr));
	__builtin_memcpy(&ip->daddr, &to->daddr, sizeof(to->daddr));
	sum = csum_change(before, *ttl_word) + (summed ? 0 : csum_change_addresses6(&p->tuple, to));
	bpf_csum_update(skb, csum_fold32(sum));
	return VERDICT_CONTINUE;
}

/* The ports, or an ICMP query's identifier. Of UDP without a checksum nothing has told skb->csum yet. */
static __always_inline enum verdict rewrite_ports(struct __sk_buff *skb, struct packet *p, const struct tuple *to)
{
	__be16 *words = packet_l4(skb, p);

	if ((void *)(words + 4) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	if (p->kind == L4_PORTS) {
		words[0] = to->sport;
		words[1] = to->dport;
	} else {
		/* one of the two is 0: see struct tuple */
		words[2] = to->sport | to->dport;
	}
	if (p->tuple.proto == IPPROTO_UDP && !words[3])
		bpf_csum_update(skb, csum_fold32(csum_change_ports(&p->tuple, to)));
	return VERDICT_CONTINUE;
}

/* Has it a checksum that the addresses are part of? */
static __always_inline bool addresses_are_summed(struct __sk_buff *skb, const struct packet *p)
{
	struct udphdr *udp = packet_l4(skb, p);

	if (!packet_has_l4(p) || p->tuple.proto != IPPROTO_UDP)
		return packet_has_l4(p);
	return (void *)(udp + 1) <= packet_end(skb) && udp->check;
}

static __always_inline enum verdict rewrite_as(bool ipv6, struct __sk_buff *skb, struct packet *p,
					       const struct tuple *to)
{
	bool has_l4 = packet_has_l4(p), summed = ipv6 ? addresses_are_summed(skb, p) : has_l4;
	enum verdict v;

	if (summed && rewrite_l4_checksum(ipv6, skb, p, to))
		return drop(p, DROP_REWRITE);
	v = ipv6 ? rewrite_header6(skb, p, to, summed) : rewrite_header4(skb, p, to);
	return v == VERDICT_CONTINUE && has_l4 ? rewrite_ports(skb, p, to) : v;
}

/* Not static: IPv4's way shall have the registers to itself. */
__noinline int rewrite6(struct __sk_buff *skb, struct packet *p, const struct tuple *to)
{
	return p && to ? rewrite_as(true, skb, p, to) : VERDICT_DROP;
}

/* The frame as a router would send it on: TTL one less, then translated. */
static __always_inline enum verdict rewrite(struct __sk_buff *skb, struct packet *p, const struct tuple *to)
{
	if (likely(!p->ipv6))
		return rewrite_as(false, skb, p, to);
	return rewrite6(skb, p, to);
}

#endif
