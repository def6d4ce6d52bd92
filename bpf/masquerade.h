/* SPDX-License-Identifier: GPL-2.0-only */
/* Source translation: which address of the host a new connection gets, and whose NAT port a packet is for. */
#ifndef NSBPF_BPF_MASQUERADE_H
#define NSBPF_BPF_MASQUERADE_H

/* Whose NAT port a packet is addressed to. */
struct binding {
	__u32 table;
	__u32 endpoint;
	__u16 nat_port; /* host order, as is `port`, the endpoint's own */
	__u16 port;
};

/* Is there a binding that this packet is addressed to? The host's own sockets come first. */
static __always_inline bool binding_find(struct __sk_buff *skb, const struct packet *p, struct binding *b)
{
	struct nsbpf_addr address = p->tuple.daddr;
	__u64 *word, state;

	b->nat_port = bpf_ntohs(p->tuple.dport);
	b->table = port_table(&address, false);
	word = b->table ? nat_port(b->table, p->tuple.proto, b->nat_port) : NULL;
	state = word ? *(volatile __u64 *)word : 0;
	if (!port_users(state) || has_host_socket(skb, &p->tuple))
		return false;
	b->endpoint = (__u32)state >> NAT_ENDPOINT_SHIFT;
	b->port = state;
	return true;
}

/* One connection more for the binding; false if it has ended meanwhile. */
static __always_inline bool binding_share(const struct binding *b, __u8 proto)
{
	return port_take(b->table, proto, b->nat_port, port_owner(b->endpoint, b->port));
}

/* The address that the operator has given the network for its way outside; all zero if none. */
static __always_inline const struct nsbpf_addr *fixed_address(const struct network *net, bool ipv6)
{
	return ipv6 ? &net->masquerade6 : &net->masquerade4;
}

/*
 * Would an answer to it find back? For want of a better one source address selection chooses the link-local address of
 * the device, or any other device's: a network's gateway.
 */
static __always_inline bool is_usable_source(const struct nsbpf_addr *addr, bool ipv6)
{
	__u8 *kind = bpf_map_lookup_elem(&host_addresses, addr);

	if (kind && *kind == HOST_ADDRESS_GATEWAY)
		return false;
	return ipv6 ? !addr_is_any(addr) && !addr_is_link_local(addr) : addr_is4(addr) && addr_get4(addr);
}

/* The address that the host itself would use on this route. False: none. */
static __always_inline bool host_source(const struct route *route, bool ipv6, struct nsbpf_addr *addr)
{
	struct uplink *uplink;

	*addr = route->prefsrc;
	if (is_usable_source(addr, ipv6))
		return true;
	uplink = bpf_map_lookup_elem(&uplinks, &route->oif);
	if (!uplink)
		return false;
	if (ipv6)
		*addr = uplink->addr6;
	else
		addr_set4(addr, uplink->addr4);
	return is_usable_source(addr, ipv6);
}

/* The address that packets leaving by this route get: the network's own, or the host's. False: none. */
static __noinline bool masquerade_address(const struct network *net, bool ipv6, const struct route *route,
					  struct nsbpf_addr *addr)
{
	if (addr_is_any(fixed_address(net, ipv6)))
		return host_source(route, ipv6, addr);
	*addr = *fixed_address(net, ipv6);
	return true;
}

#endif
