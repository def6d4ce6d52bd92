/* SPDX-License-Identifier: GPL-2.0-only */
/* What the host's stack sends to an endpoint: tc egress of its host veth. */
#ifndef NSBPF_BPF_TO_ENDPOINT_H
#define NSBPF_BPF_TO_ENDPOINT_H

/*
 * The host may talk to its endpoints. A packet that came in by some device and was forwarded here, because the host has
 * ip_forward=1 and a neighbour routes the subnet at it, may not: connections never take this way.
 */
SEC("tc")
int to_endpoint(struct __sk_buff *skb)
{
	__u32 slot = endpoint_slot(skb->ifindex);

	if (skb->ingress_ifindex) {
		count_drop(DROP_UNSOLICITED, slot);
		return TC_ACT_SHOT;
	}
	count_received(skb, slot);
	return TC_ACT_UNSPEC;
}

#endif
