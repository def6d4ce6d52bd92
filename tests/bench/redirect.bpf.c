/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The limit of the kernel's veth path: programs that look at nothing but the destination, and send the packet on. No
 * datapath at these hooks does less. redirect.py makes devices with the numbers and addresses that are known here.
 */
#include "vmlinux.h"
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#define UPLINK 2        /* the host's first device after lo */
#define FIRST_VETH 4096 /* an endpoint's host veth is this and the last byte of its address */
#define THE_HOST 1      /* the last byte of the host's own address there */

#define SUBNET bpf_htonl(0x0a5a0000) /* 10.90.0.0/16 */
#define SUBNET_MASK bpf_htonl(0xffff0000)
#define ROUTER bpf_htonl(0xc6336402)  /* 198.51.100.2 */
#define SUBNET6 bpf_htonl(0xfd900000) /* fd90::/32 */
/* 2001:db8:1::2 */
#define ROUTER6 bpf_htonl(0x20010db8), bpf_htonl(0x00010000), 0, bpf_htonl(2)

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
#define AF_INET 2
#define AF_INET6 10
#define TC_ACT_UNSPEC -1

enum where { NOWHERE, INSIDE, OUTSIDE };

/* In the subnet: `last` is the address's last byte. NOWHERE: no IP. */
static __always_inline enum where destination(struct __sk_buff *skb, __u8 *last)
{
	void *data = (void *)(long)skb->data, *end = (void *)(long)skb->data_end;

	if (skb->protocol == bpf_htons(ETH_P_IP)) {
		struct iphdr *ip = data + sizeof(struct ethhdr);

		if ((void *)(ip + 1) > end)
			return NOWHERE;
		*last = bpf_ntohl(ip->daddr);
		return (ip->daddr & SUBNET_MASK) == SUBNET ? INSIDE : OUTSIDE;
	}
	if (skb->protocol == bpf_htons(ETH_P_IPV6)) {
		struct ipv6hdr *ip6 = data + sizeof(struct ethhdr);

		if ((void *)(ip6 + 1) > end)
			return NOWHERE;
		*last = ip6->daddr.in6_u.u6_addr8[15];
		return ip6->daddr.in6_u.u6_addr32[0] == SUBNET6 ? INSIDE : OUTSIDE;
	}
	return NOWHERE;
}

SEC("tc")
int from_endpoint(struct __sk_buff *skb)
{
	struct bpf_redir_neigh router = { .nh_family = AF_INET, .ipv4_nh = ROUTER };
	struct bpf_redir_neigh router6 = { .nh_family = AF_INET6, .ipv6_nh = { ROUTER6 } };
	__u8 last;

	switch (destination(skb, &last)) {
	case INSIDE:
		return last == THE_HOST ? TC_ACT_UNSPEC : bpf_redirect_peer(FIRST_VETH + last, 0);
	case OUTSIDE:
		/* The veth's receive queue would otherwise choose the uplink's transmit queue. */
		skb->queue_mapping = 0;
		return bpf_redirect_neigh(UPLINK, skb->protocol == bpf_htons(ETH_P_IP) ? &router : &router6,
					  sizeof(router), 0);
	case NOWHERE:
		break;
	}
	return TC_ACT_UNSPEC;
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	__u8 last;

	return destination(skb, &last) == INSIDE ? bpf_redirect_peer(FIRST_VETH + last, 0) : TC_ACT_UNSPEC;
}

char LICENSE[] SEC("license") = "GPL";
