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

/* The new ends are given as in a packet's answer, which is how connections keep them: its source is the destination. A
 * sum does not care which is which. */
static __always_inline __u64 csum_change_addresses4(const struct tuple *from, const struct tuple *answer)
{
	return csum_change(addr_get4(&from->saddr), addr_get4(&answer->saddr)) +
	       csum_change(addr_get4(&from->daddr), addr_get4(&answer->daddr));
}

static __always_inline __u64 csum_change_addresses6(const struct tuple *from, const struct tuple *answer)
{
	__u64 sum = 0;

	for (int i = 0; i < 4; i++)
		sum += csum_change(from->saddr.words[i], answer->saddr.words[i]) +
		       csum_change(from->daddr.words[i], answer->daddr.words[i]);
	return sum;
}

static __always_inline __u64 csum_change_ports(const struct tuple *from, const struct tuple *answer)
{
	return csum_change((__u32)from->sport + from->dport, (__u32)answer->sport + answer->dport);
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

static __always_inline int rewrite_checksum_of_addresses4(struct __sk_buff *skb, const struct packet *p, __u64 change,
							  __u32 where)
{
	if (p->tuple.proto == IPPROTO_ICMP)
		return 0;
	return bpf_l4_csum_replace(skb, where, 0, csum_fold32(change),
				   l4_checksum_flags(p->tuple.proto) | BPF_F_PSEUDO_HDR);
}

/*
 * With CHECKSUM_COMPLETE skb->csum is the sum of the whole datagram. That of IPv4 changes by what the L4 checksum does,
 * since the header's own evens out the addresses; that of IPv6 not at all, which the helper has to be told. One that
 * can't be told is put right afterwards; for other skbs that call does nothing.
 */
static __always_inline int rewrite_checksum_of_addresses6(struct __sk_buff *skb, const struct packet *p,
							  const struct tuple *answer, __u32 where)
{
	__u32 change = csum_fold32(csum_change_addresses6(&p->tuple, answer));
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
						     const struct tuple *answer, __u32 where)
{
	if (p->tuple.sport == answer->dport && p->tuple.dport == answer->sport)
		return 0;
	return bpf_l4_csum_replace(skb, where, 0, csum_fold32(csum_change_ports(&p->tuple, answer)),
				   l4_checksum_flags(p->tuple.proto));
}

/* TTL, or hop limit, one less; by how much the sum of the header changes. */
static __always_inline __u64 hop4(struct iphdr *ip)
{
	__u16 *word = (__u16 *)&ip->ttl; /* TTL and protocol: the unit that the checksum sums */
	__u16 before = *word;

	ip->ttl--;
	return (__u16)~before + *word;
}

static __always_inline __u64 hop6(struct ipv6hdr *ip)
{
	__u16 *word = (__u16 *)&ip->nexthdr; /* next header and hop limit */
	__u16 before = *word;

	ip->hop_limit--;
	return csum_change(before, *word);
}

/* `change` is the one of the addresses. */
static __always_inline enum verdict rewrite_header4(struct __sk_buff *skb, struct packet *p, const struct tuple *answer,
						    __u64 change)
{
	struct iphdr *ip = packet_data(skb) + ETH_HLEN;
	__u64 sum;

	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	sum = (__u16)~ip->check + change + hop4(ip);
	ip->saddr = addr_get4(&answer->daddr);
	ip->daddr = addr_get4(&answer->saddr);
	ip->check = ~csum_fold16(sum);
	return VERDICT_CONTINUE;
}

/*
 * Nothing in the header evens out what changes there. With CHECKSUM_COMPLETE the sum has to follow, but for what the L4
 * checksum has taken up already (`summed`); without, the helper says that there is none.
 */
static __always_inline enum verdict rewrite_header6(struct __sk_buff *skb, struct packet *p, const struct tuple *answer,
						    bool summed)
{
	struct ipv6hdr *ip = packet_data(skb) + ETH_HLEN;
	__u64 sum;

	if ((void *)(ip + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	sum = hop6(ip) + (summed ? 0 : csum_change_addresses6(&p->tuple, answer));
	__builtin_memcpy(&ip->saddr, &answer->daddr, sizeof(answer->daddr));
	__builtin_memcpy(&ip->daddr, &answer->saddr, sizeof(answer->saddr));
	bpf_csum_update(skb, csum_fold32(sum));
	return VERDICT_CONTINUE;
}

/* The ports, or an ICMP query's identifier. Of UDP without a checksum nothing has told skb->csum yet. */
static __always_inline enum verdict rewrite_ports(struct __sk_buff *skb, struct packet *p, const struct tuple *answer)
{
	__be16 *words = packet_l4(skb, p);

	if ((void *)(words + 4) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	if (p->kind == L4_PORTS) {
		words[0] = answer->dport;
		words[1] = answer->sport;
	} else {
		/* one of the two is 0: see struct tuple */
		words[2] = answer->sport | answer->dport;
	}
	if (p->tuple.proto == IPPROTO_UDP && !words[3])
		bpf_csum_update(skb, csum_fold32(csum_change_ports(&p->tuple, answer)));
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

static __always_inline enum verdict rewrite4(struct __sk_buff *skb, struct packet *p, const struct tuple *answer)
{
	__u64 change = csum_change_addresses4(&p->tuple, answer);
	__u32 where = p->l4 + l4_checksum_offset(p->tuple.proto);
	bool has_l4 = packet_has_l4(p);
	enum verdict v;

	if (has_l4 &&
	    (rewrite_checksum_of_addresses4(skb, p, change, where) || rewrite_checksum_of_ports(skb, p, answer, where)))
		return drop(p, DROP_REWRITE);
	v = rewrite_header4(skb, p, answer, change);
	return v == VERDICT_CONTINUE && has_l4 ? rewrite_ports(skb, p, answer) : v;
}

/* Not static: IPv4's way shall have the registers to itself. */
__noinline int rewrite6(struct __sk_buff *skb, struct packet *p, const struct tuple *answer)
{
	__u32 where;
	enum verdict v;
	bool summed;

	if (!p || !answer)
		return VERDICT_DROP;
	where = p->l4 + l4_checksum_offset(p->tuple.proto);
	summed = addresses_are_summed(skb, p);
	if (summed &&
	    (rewrite_checksum_of_addresses6(skb, p, answer, where) || rewrite_checksum_of_ports(skb, p, answer, where)))
		return drop(p, DROP_REWRITE);
	v = rewrite_header6(skb, p, answer, summed);
	return v == VERDICT_CONTINUE && packet_has_l4(p) ? rewrite_ports(skb, p, answer) : v;
}

/* The frame as a router would send it on, TTL one less, and as what `answer` would be the answer to. */
static __always_inline enum verdict rewrite(struct __sk_buff *skb, struct packet *p, const struct tuple *answer)
{
	if (likely(!p->ipv6))
		return rewrite4(skb, p, answer);
	return rewrite6(skb, p, answer);
}

/* The same without translation. */
static __noinline enum verdict rewrite_ttl(struct __sk_buff *skb, struct packet *p)
{
	struct ipv6hdr *ip6 = packet_data(skb) + ETH_HLEN;
	struct iphdr *ip4 = packet_data(skb) + ETH_HLEN;

	if (p->ipv6 ? (void *)(ip6 + 1) > packet_end(skb) : (void *)(ip4 + 1) > packet_end(skb))
		return drop(p, DROP_REWRITE);
	if (p->ipv6)
		bpf_csum_update(skb, csum_fold32(hop6(ip6)));
	else
		ip4->check = ~csum_fold16((__u16)~ip4->check + hop4(ip4));
	return VERDICT_CONTINUE;
}

#endif
