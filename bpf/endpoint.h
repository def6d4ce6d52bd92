/* SPDX-License-Identifier: GPL-2.0-only */
/* Endpoints and networks, and which address belongs to whom. */
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

static __always_inline bool in_subnet4(const struct network *net, __be32 addr4)
{
	return (addr4 & net->mask4) == net->subnet4;
}

static __always_inline bool in_subnet6(const struct network *net, const struct nsbpf_addr *addr)
{
	for (int i = 0; i < 4; i++)
		if ((addr->words[i] & net->mask6.words[i]) != net->subnet6.words[i])
			return false;
	return true;
}

/* Only the network's own endpoints are reached by their address alone; the gateway is the host's. */
static __always_inline bool is_neighbour(bool ipv6, const struct network *net, const struct nsbpf_addr *addr)
{
	if (ipv6)
		return in_subnet6(net, addr) && !addr_equal(addr, &net->gateway6);
	return in_subnet4(net, addr_get4(addr)) && addr_get4(addr) != net->gateway4;
}

/* False: it has none of this family. */
static __always_inline bool endpoint_address(const struct endpoint *ep, bool ipv6, struct nsbpf_addr *addr)
{
	if (ipv6)
		*addr = ep->addr6;
	else
		addr_set4(addr, ep->addr4);
	return !addr_is_any(addr);
}

static __always_inline bool is_endpoint_address(const struct nsbpf_addr *addr)
{
	return bpf_map_lookup_elem(&addresses, addr);
}

/* The slot of the network's endpoint with this address, 0 if there is none. */
static __always_inline __u32 neighbour_slot(__u32 network, const struct nsbpf_addr *addr)
{
	struct nsbpf_addr key = *addr; /* on the stack: see from_endpoint_new() */
	__u32 *slot = bpf_map_lookup_elem(&addresses, &key);
	struct endpoint *target = slot ? endpoint_get(*slot) : NULL;

	return target && target->network == network ? *slot : 0;
}

/* Its packets leave with its own address, and those from outside may be addressed to it. */
static __always_inline bool is_routed(const struct network *net, bool ipv6)
{
	return net->flags & (ipv6 ? NETWORK_ROUTED6 : NETWORK_ROUTED4);
}

#endif
