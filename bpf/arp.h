/* SPDX-License-Identifier: GPL-2.0-only */
/* ARP: a namespace's questions are answered here, and what else it says goes no further. */
#ifndef NSBPF_BPF_ARP_H
#define NSBPF_BPF_ARP_H

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

	if (addr4 == net->gateway4)
		return true;
	if (addr4 == ep->addr4 || !in_subnet4(net, addr4))
		return false;
	addr_set4(&addr, addr4);
	return neighbour_slot(ep->network, &addr);
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

#endif
