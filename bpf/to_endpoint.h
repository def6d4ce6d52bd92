/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host's stack sends to an endpoint: tc egress of its host veth. */
#ifndef NSBPF_BPF_TO_ENDPOINT_H
#define NSBPF_BPF_TO_ENDPOINT_H

/* Somebody listens: what comes this way is looked at for him alone. */
__noinline int to_endpoint_heard(struct __sk_buff *skb, __u32 slot, bool dropped)
{
	struct packet p = {};

	watch(skb, &p);
	if (skb->protocol == bpf_htons(ETH_P_IP))
		parse_ipv4(skb, &p);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		parse_ipv6(skb, &p);
	p.endpoint = slot;
	p.reason = DROP_UNSOLICITED;
	if (p.watched)
		event_packet_end(skb, &p, EVENT_TO_ENDPOINT, dropped ? EVENT_DROPPED : EVENT_PASSED);
	if (dropped && is_heard(LISTEN(EVENT_DROP)))
		event_drop(skb, &p, EVENT_TO_ENDPOINT);
	return 0;
}

/*
 * The host may talk to its endpoints. A packet that came in by some device and was forwarded here, because the host has
 * ip_forward=1 and a neighbour routes the subnet at it, may not: connections never take this way.
 */
SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	__u32 slot = endpoint_slot(skb->ifindex);
	bool dropped = skb->ingress_ifindex;

	if (!likely(!packets_heard) || (dropped && is_heard(LISTEN(EVENT_DROP))))
		to_endpoint_heard(skb, slot, dropped);
	if (dropped) {
		count_drop(DROP_UNSOLICITED, slot);
		return TC_ACT_SHOT;
	}
	count_received(skb, slot);
	return TC_ACT_UNSPEC;
}

#endif
