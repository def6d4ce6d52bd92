/* SPDX-License-Identifier: GPL-2.0-only */
/* Writing an ICMP error in place of the packet that it is about. */
#ifndef NSBPF_BPF_ICMP_WRITE_H
#define NSBPF_BPF_ICMP_WRITE_H

/* As much of the packet is quoted as fits so many bytes of IP datagram: RFC 1812 4.3.2.3, RFC 4443 2.4. */
#define ICMP_ERROR_MAX 576
#define ICMPV6_ERROR_MAX 1280
#define ICMP_ERROR_TTL 64
#define ICMP_ERROR_TOS 0xc0 /* RFC 1812 4.3.2.5: precedence 6 */
#define IP_DF 0x4000

struct icmp_answer {
	__u8 type, code;
	bool made;    /* there is an answer to this reason */
	bool limited; /* the path MTU is always told (icmpv4_mask_allow): a flood must not hide it */
	__u16 mtu;
};

static __always_inline __u32 answer_headers(bool ipv6)
{
	return (ipv6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr)) + ICMP_HLEN;
}

/* Bytes of the packet that the answer quotes. */
static __always_inline __u32 answer_quotes(const struct packet *p)
{
	__u32 most = (p->ipv6 ? ICMPV6_ERROR_MAX : ICMP_ERROR_MAX) - answer_headers(p->ipv6);

	return p->length < most ? p->length : most;
}

/* Headers before the packet, which is cut to what is quoted. The offset of the IP header does not change. */
static __always_inline int answer_make_room(struct __sk_buff *skb, const struct packet *p, __u32 quoted)
{
	if (bpf_skb_change_tail(skb, ETH_HLEN + quoted, 0))
		return -EINVAL;
	return bpf_skb_adjust_room(skb, answer_headers(p->ipv6), BPF_ADJ_ROOM_MAC, 0);
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
	if (p->ipv6)
		return check == csum_fold16(pseudo_header_sum(&p->tuple, p->tuple.proto, length));
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
	__u32 headers = answer_headers(p->ipv6), l4 = p->l4 + headers;
	__u32 where = l4 + l4_checksum_offset(p->tuple.proto);
	__u16 check = 0;

	if (bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0))
		return -EINVAL;
	check = (0xffff - skb_sum(skb, l4, ETH_HLEN + headers + quoted - l4)) * 0x8000U % 0xffff;
	return bpf_skb_store_bytes(skb, where, &check, sizeof(check), 0);
}

static __always_inline int answer_write4(struct __sk_buff *skb, const struct packet *p, const struct icmp_answer *a,
					 __u32 quoted, const struct nsbpf_addr *source)
{
	struct {
		struct iphdr ip;
		struct icmphdr icmp;
	} h = { .ip = { .version = 4,
			.ihl = 5,
			.tos = ICMP_ERROR_TOS,
			.tot_len = bpf_htons(sizeof(h) + quoted),
			.frag_off = bpf_htons(IP_DF),
			.ttl = ICMP_ERROR_TTL,
			.protocol = IPPROTO_ICMP,
			.saddr = addr_get4(source),
			.daddr = addr_get4(&p->tuple.saddr) },
		.icmp = { .type = a->type, .code = a->code } };

	h.icmp.un.frag.mtu = bpf_htons(a->mtu);
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM))
		return -EINVAL;
	h.ip.check = ~skb_sum(skb, ETH_HLEN, sizeof(h.ip));
	h.icmp.checksum = ~skb_sum(skb, ETH_HLEN + sizeof(h.ip), ICMP_HLEN + quoted);
	return bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM);
}

static __always_inline int answer_write6(struct __sk_buff *skb, const struct packet *p, const struct icmp_answer *a,
					 __u32 quoted, const struct nsbpf_addr *source)
{
	struct {
		struct ipv6hdr ip;
		struct icmphdr icmp; /* ICMPv6's has the MTU in all 32 bits */
	} h = { .ip = { .version = 6,
			.payload_len = bpf_htons(ICMP_HLEN + quoted),
			.nexthdr = IPPROTO_ICMPV6,
			.hop_limit = ICMP_ERROR_TTL },
		.icmp = { .type = a->type, .code = a->code } };
	struct tuple *ends = (struct tuple *)&h.ip.saddr; /* which is how it begins */

	h.icmp.un.gateway = bpf_htonl(a->mtu);
	__builtin_memcpy(&h.ip.saddr, source, sizeof(*source));
	__builtin_memcpy(&h.ip.daddr, &p->tuple.saddr, sizeof(h.ip.daddr));
	if (bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM))
		return -EINVAL;
	h.icmp.checksum = ~csum_fold16(skb_sum(skb, ETH_HLEN + sizeof(h.ip), ICMP_HLEN + quoted) +
				       pseudo_header_sum(ends, IPPROTO_ICMPV6, ICMP_HLEN + quoted));
	return bpf_skb_store_bytes(skb, ETH_HLEN, &h, sizeof(h), BPF_F_RECOMPUTE_CSUM);
}

#endif
