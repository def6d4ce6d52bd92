/* SPDX-License-Identifier: GPL-2.0-only */
/* Who sent this, and is it telling the truth? Also ARP: the one protocol that is answered here. */
#ifndef NSBPF_BPF_ENDPOINT_H
#define NSBPF_BPF_ENDPOINT_H

static __always_inline struct endpoint *endpoint_get(__u32 slot)
{
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &slot);

	return ep && ep->state == SLOT_READY ? ep : NULL;
}

static __always_inline struct network *network_get(__u32 slot)
{
	return bpf_map_lookup_elem(&networks, &slot);
}

static __always_inline bool mac_equal(const __u8 *a, const __u8 *b)
{
	return *(__u16 *)a == *(__u16 *)b && *(__u16 *)(a + 2) == *(__u16 *)(b + 2) &&
	       *(__u16 *)(a + 4) == *(__u16 *)(b + 4);
}

static __always_inline bool in_subnet(const struct network *net, __be32 addr4)
{
	return (addr4 & net->mask4) == net->subnet4;
}

/* Only the network's own endpoints are reached by their address alone; the gateway is the host's. */
static __always_inline bool is_neighbour(const struct network *net, __be32 addr4)
{
	return in_subnet(net, addr4) && addr4 != net->gateway4;
}

/* RFC 826's packet for IPv4 over Ethernet. */
struct arp_ipv4 {
	__be16 hrd, pro;
	__u8 hln, pln;
	__be16 op;
	__u8 sha[ETH_ALEN];
	__be32 spa;
	__u8 tha[ETH_ALEN];
	__be32 tpa;
} __attribute__((packed));

#define ARP_REQUEST 1
#define ARP_REPLY 2

/* Does somebody other than the asker have this address? */
static __always_inline bool arp_target_exists(const struct endpoint *ep, const struct network *net, __be32 addr4)
{
	struct nsbpf_addr addr;
	__u32 *slot;
	struct endpoint *target;

	if (addr4 == net->gateway4)
		return true;
	if (addr4 == ep->addr4 || !in_subnet(net, addr4))
		return false;
	addr_set4(&addr, addr4);
	slot = bpf_map_lookup_elem(&addresses, &addr);
	target = slot ? endpoint_get(*slot) : NULL;
	return target && target->network == ep->network;
}

/*
 * The gateway and the neighbours all have the gateway's MAC: whatever the namespace sends comes addressed to the host
 * veth, so it is never PACKET_OTHERHOST after bpf_redirect_peer(), which Linux before 6.13 does not mend.
 */
static __always_inline enum verdict arp_answer(struct __sk_buff *skb, struct packet *p, struct endpoint *ep)
{
	struct network *net = network_get(ep->network);
	struct ethhdr *eth;
	struct arp_ipv4 *arp;
	__be32 asked;

	bpf_skb_pull_data(skb, ETH_HLEN + sizeof(*arp));
	eth = packet_data(skb);
	arp = (void *)(eth + 1);
	if ((void *)(arp + 1) > packet_end(skb) || arp->hrd != bpf_htons(1) || arp->pro != bpf_htons(ETH_P_IP) ||
	    arp->hln != ETH_ALEN || arp->pln != 4)
		return drop(p, DROP_MALFORMED);
	if (!mac_equal(eth->h_source, ep->mac) || !mac_equal(arp->sha, ep->mac))
		return drop(p, DROP_SPOOFED_MAC);
	/* 0: a probe for duplicates, RFC 5227 */
	if (arp->spa && arp->spa != ep->addr4)
		return drop(p, DROP_SPOOFED_ARP);
	/* The host's neighbour entry is permanent, and other answers are nobody's business. */
	if (!net || arp->op != bpf_htons(ARP_REQUEST) || !arp_target_exists(ep, net, arp->tpa))
		return drop(p, DROP_NO_ENDPOINT);

	asked = arp->tpa;
	arp->op = bpf_htons(ARP_REPLY);
	__builtin_memcpy(arp->tha, ep->mac, ETH_ALEN);
	arp->tpa = arp->spa;
	__builtin_memcpy(arp->sha, ep->gateway_mac, ETH_ALEN);
	arp->spa = asked;
	__builtin_memcpy(eth->h_dest, ep->mac, ETH_ALEN);
	__builtin_memcpy(eth->h_source, ep->gateway_mac, ETH_ALEN);
	p->action = bpf_redirect_peer(ep->ifindex, 0);
	return VERDICT_REDIRECT;
}

static __always_inline enum verdict source_validate(struct __sk_buff *skb, struct packet *p, const struct endpoint *ep)
{
	struct ethhdr *eth = packet_data(skb);

	if ((void *)(eth + 1) > packet_end(skb))
		return drop(p, DROP_MALFORMED);
	if (!mac_equal(eth->h_source, ep->mac))
		return drop(p, DROP_SPOOFED_MAC);
	if (addr_get4(&p->tuple.saddr) != ep->addr4)
		return drop(p, DROP_SPOOFED_IP);
	if (eth->h_dest[0] & 1 || addr_is_multicast(&p->tuple.daddr))
		return drop(p, DROP_MULTICAST);
	if (addr_is_loopback(&p->tuple.daddr))
		return drop(p, DROP_MARTIAN);
	return VERDICT_CONTINUE;
}

#endif
