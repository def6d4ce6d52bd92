/* SPDX-License-Identifier: GPL-2.0-only */
/* Run by user space: what the datapath would find out about a route, for people who ask why. */
#ifndef NSBPF_BPF_TELL_ROUTE_H
#define NSBPF_BPF_TELL_ROUTE_H

/* Asked as from_endpoint_new() asks for an endpoint of this network; of network 0, as for an address of the host. */
static __always_inline void tell(struct __sk_buff *skb, const struct route_question *q, struct route_told *told)
{
	struct packet p = { .ipv6 = !addr_is4(&q->tuple.daddr), .tuple = q->tuple };
	struct network *net = q->network ? network_get(q->network) : NULL;
	struct workbench *w = workbench_get();

	if (!w)
		return;
	w->key = q->tuple;
	if (net && !addr_is_any(fixed_address(net, p.ipv6)))
		w->key.saddr = *fixed_address(net, p.ipv6);
	told->dropped = route_lookup(skb, &p, net ? route_wanted(net, p.ipv6) : 0) != VERDICT_CONTINUE;
	told->reason = told->dropped ? p.reason : 0;
	told->local = w->route.local;
	told->oif = w->route.oif;
	told->mtu = w->route.mtu;
	told->nexthop = w->route.nexthop;
}

/* The question follows an empty Ethernet header, and the answer takes its place. 0, or EINVAL. */
SEC("tc")
int tell_route(struct __sk_buff *skb)
{
	struct route_question q;
	struct route_told told = {};

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &q, sizeof(q)))
		return EINVAL;
	tell(skb, &q, &told);
	return -bpf_skb_store_bytes(skb, ETH_HLEN, &told, sizeof(told), 0);
}

#endif
