/* SPDX-License-Identifier: GPL-2.0-only */
/* Counters, all per CPU. */
#ifndef NSBPF_BPF_STATS_H
#define NSBPF_BPF_STATS_H

/* A GSO packet stands for several on the wire. */
static __always_inline __u32 wire_packets(struct __sk_buff *skb)
{
	__u32 segments = skb->gso_segs;

	return segments ? segments : 1;
}

static __always_inline void count_sent(struct __sk_buff *skb, __u32 endpoint)
{
	struct endpoint_stats *stats = bpf_map_lookup_elem(&endpoint_stats, &endpoint);

	if (!stats)
		return;
	stats->tx_packets += wire_packets(skb);
	stats->tx_bytes += skb->len;
}

/* It is going to come round again, and to be counted then. */
static __always_inline void count_sent_later(struct __sk_buff *skb)
{
	__u32 slot = endpoint_slot(skb->ifindex);
	struct endpoint_stats *stats = slot ? bpf_map_lookup_elem(&endpoint_stats, &slot) : NULL;

	if (!stats)
		return;
	stats->tx_packets -= wire_packets(skb);
	stats->tx_bytes -= skb->len;
}

static __always_inline void count_received(struct __sk_buff *skb, __u32 endpoint)
{
	struct endpoint_stats *stats = bpf_map_lookup_elem(&endpoint_stats, &endpoint);

	if (!stats)
		return;
	stats->rx_packets += wire_packets(skb);
	stats->rx_bytes += skb->len;
}

/* `endpoint` is 0 where none is to blame: that slot's counter is never shown. */
static __always_inline void count_drop(__u32 reason, __u32 endpoint)
{
	__u64 *count = bpf_map_lookup_elem(&drops, &reason);
	struct endpoint_stats *stats = bpf_map_lookup_elem(&endpoint_stats, &endpoint);

	if (count)
		(*count)++;
	if (stats)
		stats->drops++;
}

#endif
