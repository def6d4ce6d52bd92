/* SPDX-License-Identifier: GPL-2.0-only */
/* What ICMP messages of both kinds need, those on their way and those that are made here: sums over the packet. */
#ifndef NSBPF_BPF_ICMP_H
#define NSBPF_BPF_ICMP_H

#define ICMP_DEST_UNREACH 3
#define ICMP_TIME_EXCEEDED 11
#define ICMP_PARAMETERPROB 12

#define ICMP_NET_UNREACH 0
#define ICMP_HOST_UNREACH 1
#define ICMP_PORT_UNREACH 3
#define ICMP_FRAG_NEEDED 4
#define ICMP_PKT_FILTERED 13

/* RFC 4443. Errors are the types below 128. */
#define ICMPV6_UNREACH 1
#define ICMPV6_TOO_BIG 2
#define ICMPV6_TIME_EXCEEDED 3
#define ICMPV6_PARAMETER 4

#define ICMPV6_NO_ROUTE 0
#define ICMPV6_PROHIBITED 1
#define ICMPV6_ADDRESS_UNREACH 3
#define ICMPV6_PORT_UNREACH 4

#define ICMP_HLEN 8 /* of both */

/* The longest ICMP message that can be summed. RFC 1812 4.3.2.3 has errors within 576 bytes; some send a whole packet.
 */
#define SUM_MAX 2048
#define SUM_CHUNK 512 /* bpf_csum_diff() before Linux 6.10 takes no more at once */

/* Per CPU: where bytes are put to be summed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[SUM_MAX + SUM_CHUNK]);
} sum_bytes SEC(".maps");

/* The ones' complement sum of so many bytes of the frame, folded to 16 bits; 0xffff where a checksum among them is
 * right. 0 if there are too many. Not static: see from_endpoint_new(). */
__noinline __u16 skb_sum(struct __sk_buff *skb, __u32 offset, __u32 length)
{
	__u32 zero = 0, left, n;
	__u8 *bytes = bpf_map_lookup_elem(&sum_bytes, &zero);
	__s64 sum = 0;

	if (!bytes || !length_is_within(&length, 1, SUM_MAX) || bpf_skb_load_bytes(skb, offset, bytes, length))
		return 0;
	/* The helper sums words of 4 bytes. */
	for (int i = 0; i < 3; i++)
		bytes[length + i] = 0;
	left = (length + 3) & ~3;
	for (int i = 0; i < SUM_MAX / SUM_CHUNK && left; i++) {
		n = left < SUM_CHUNK ? left : SUM_CHUNK;
		left -= n;
		if (length_is_within(&n, 1, SUM_CHUNK))
			sum = bpf_csum_diff(NULL, 0, (__be32 *)(bytes + i * SUM_CHUNK), n, sum);
	}
	return csum_fold16((__u32)sum);
}

/* What ICMPv6's checksum sums besides the message (RFC 8200 8.1); the ends are a tuple's. */
static __always_inline __u64 pseudo_header_sum(const struct tuple *t, __u8 proto, __u32 length)
{
	__u64 sum = bpf_htonl(length) + (__u64)bpf_htonl(proto);

	for (int i = 0; i < 4; i++)
		sum += (__u64)t->saddr.words[i] + t->daddr.words[i];
	return sum;
}

/* Of the packet's ICMP message, with these ends: 0xffff if its checksum is right. 0 if it is too long. */
static __always_inline __u16 icmp_sum(struct __sk_buff *skb, const struct packet *p, const struct tuple *ends)
{
	__u32 length = p->length + ETH_HLEN - p->l4;
	__u16 sum = skb_sum(skb, p->l4, length);

	return p->ipv6 && sum ? csum_fold16(sum + pseudo_header_sum(ends, IPPROTO_ICMPV6, length)) : sum;
}

#endif
