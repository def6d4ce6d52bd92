/* SPDX-License-Identifier: GPL-2.0-only */
/* The way out: the kernel's FIB decides, policy rules included. */
#ifndef NSBPF_BPF_ROUTE_H
#define NSBPF_BPF_ROUTE_H

struct route {
	struct nsbpf_addr nexthop; /* all zero: the kernel finds it */
	struct nsbpf_addr prefsrc; /* the address that the host itself would use; all zero if the FIB can't tell */
	__u32 oif;
	__u16 mtu;   /* 0 where the FIB does not say */
	bool local;  /* an address of the host, or a broadcast address */
	bool silent; /* ROUTE_SILENT: the next hop's MAC is not known, or not any more */
};

/* What a question to the FIB is to find out besides the route. */
#define ROUTE_SOURCE 1 /* the host's own address for it; in IPv6 that takes the kernel a walk over all devices */
#define ROUTE_SILENT 2

#define LOOPBACK_IFINDEX 1

/*
 * Somebody switched net.ipv4.ip_forward or net.ipv6.conf.all.forwarding off, which does the same to every device
 * (inet_forward_change, addrconf_forward_change), and so takes lo's from us until the next command. Until then what
 * user space last knew has to do: the host's addresses, its endpoints, and the uplink of its default route, by which
 * bpf_redirect_neigh() can find the next hop itself.
 */
static __noinline enum verdict route_fallback(struct packet *p, const struct tuple *tuple, struct route *route)
{
	struct settings *s = settings_get();
	__u32 default_uplink = !s ? 0 : p->ipv6 ? s->default_uplink6 : s->default_uplink;
	struct nsbpf_addr daddr = tuple->daddr;
	__u32 *slot = bpf_map_lookup_elem(&addresses, &daddr);

	if (slot) {
		route->oif = NSBPF_IFINDEX_BASE + *slot;
		return VERDICT_CONTINUE;
	}
	if (bpf_map_lookup_elem(&host_addresses, &daddr)) {
		route->local = true;
		return VERDICT_CONTINUE;
	}
	if (!default_uplink)
		return drop(p, DROP_NO_ROUTE);
	route->oif = default_uplink;
	return VERDICT_CONTINUE;
}

static __always_inline void fib_question4(struct bpf_fib_lookup *fib, const struct packet *p, const struct tuple *tuple)
{
	fib->family = AF_INET;
	fib->tos = p->tos & 0x1c; /* the kernel's IPTOS_RT_MASK */
	fib->ipv4_src = addr_get4(&tuple->saddr);
	fib->ipv4_dst = addr_get4(&tuple->daddr);
}

static __always_inline void fib_question6(struct bpf_fib_lookup *fib, const struct packet *p, const struct tuple *tuple)
{
	fib->family = AF_INET6;
	fib->flowinfo = bpf_htonl((__u32)p->tos << 20);
	__builtin_memcpy(fib->ipv6_src, &tuple->saddr, sizeof(tuple->saddr));
	__builtin_memcpy(fib->ipv6_dst, &tuple->daddr, sizeof(tuple->daddr));
}

static __always_inline void fib_question(struct bpf_fib_lookup *fib, const struct packet *p, const struct tuple *tuple)
{
	__builtin_memset(fib, 0, sizeof(*fib));
	fib->l4_protocol = tuple->proto;
	fib->sport = tuple->sport;
	fib->dport = tuple->dport;
	fib->tot_len = 1; /* so that it tells the route's MTU: packet_fits() compares */
	fib->ifindex = LOOPBACK_IFINDEX;
	if (p->ipv6)
		fib_question6(fib, p, tuple);
	else
		fib_question4(fib, p, tuple);
}

/* The helper writes its answer in place of the question. */
static __always_inline void fib_answer(const struct bpf_fib_lookup *fib, const struct packet *p, bool tells_source,
				       struct route *route)
{
	route->oif = fib->ifindex;
	if (fib->family == AF_INET)
		addr_set4(&route->nexthop, fib->ipv4_dst);
	else /* of an IPv4 route, too: RFC 5549 */
		__builtin_memcpy(&route->nexthop, fib->ipv6_dst, sizeof(route->nexthop));
	if (!tells_source)
		return;
	if (p->ipv6)
		__builtin_memcpy(&route->prefsrc, fib->ipv6_src, sizeof(route->prefsrc));
	else
		addr_set4(&route->prefsrc, fib->ipv4_src);
}

/*
 * As the host would route a packet of its own. The "input device" is lo. It has forwarding switched on for this,
 * without which the helper gives no answer (net/core/filter.c, bpf_ipv4_fib_lookup, bpf_ipv6_fib_lookup); the
 * endpoints' devices have it switched off, so that the host's stack forwards nothing for them should our program ever
 * be missing there. IPv6 has no such switch for each device.
 */
static __noinline enum verdict route_ask(struct __sk_buff *skb, struct packet *p, const struct tuple *tuple,
					 struct route *route, __u32 wanted)
{
	struct settings *s = settings_get();
	struct bpf_fib_lookup fib;
	__u32 flags = 0, skip = 0;
	int ret;

	if (!s)
		return drop(p, DROP_NO_ROUTE);
	if (wanted & ROUTE_SOURCE && s->features & FEATURE_FIB_SRC)
		flags |= BPF_FIB_LOOKUP_SRC;
	if (s->features & FEATURE_FIB_SKIP_NEIGH)
		skip = BPF_FIB_LOOKUP_SKIP_NEIGH;

	fib_question(&fib, p, tuple);
	ret = bpf_fib_lookup(skb, &fib, sizeof(fib), flags | (wanted & ROUTE_SILENT ? 0 : skip));
	if (ret == BPF_FIB_LKUP_RET_NO_NEIGH && wanted & ROUTE_SILENT && skip) { /* so it has not told the MTU */
		route->silent = true;
		fib_question(&fib, p, tuple);
		ret = bpf_fib_lookup(skb, &fib, sizeof(fib), flags | skip);
	}
	switch (ret) {
	case BPF_FIB_LKUP_RET_SUCCESS:
		route->mtu = fib.mtu_result;
		break;
	case BPF_FIB_LKUP_RET_NO_NEIGH: /* bpf_redirect_neigh() asks for the neighbour; no MTU is told */
		break;
	case BPF_FIB_LKUP_RET_NOT_FWDED: /* local, or no route at all: see route_is_local() */
		route->local = true;
		return VERDICT_CONTINUE;
	case BPF_FIB_LKUP_RET_BLACKHOLE:
		return drop(p, DROP_BLACKHOLE);
	case BPF_FIB_LKUP_RET_UNREACHABLE:
		return drop(p, DROP_UNREACHABLE);
	case BPF_FIB_LKUP_RET_PROHIBIT:
		return drop(p, DROP_PROHIBITED);
	case BPF_FIB_LKUP_RET_NO_SRC_ADDR:
		return drop(p, DROP_NO_ADDRESS);
	case BPF_FIB_LKUP_RET_FWD_DISABLED:
		return route_fallback(p, tuple, route);
	default:
		return drop(p, DROP_NO_ROUTE);
	}

	fib_answer(&fib, p, flags & BPF_FIB_LOOKUP_SRC, route);
	return VERDICT_CONTINUE;
}

/*
 * Would the host's stack send on what it finds no socket for? For IPv6 net.ipv6.conf.all.forwarding decides that, not
 * the device's own setting (ip6_forward); but switching it on, or making a device while it is on, sets that, too.
 */
static __noinline bool host_forwards6(struct __sk_buff *skb)
{
	struct bpf_fib_lookup fib = { .family = AF_INET6, .ifindex = skb->ifindex };

	return bpf_fib_lookup(skb, &fib, sizeof(fib), 0) != BPF_FIB_LKUP_RET_FWD_DISABLED;
}

/* The FIB says "not forwarded" of broadcast addresses as well (RFC 1122 3.3.6: not to be taken for an own one). */
static __always_inline bool is_broadcast(const struct nsbpf_addr *addr)
{
	struct nsbpf_addr key = *addr; /* on the stack: see from_endpoint_new() */
	__u8 *kind = bpf_map_lookup_elem(&host_addresses, &key);

	return kind && *kind == HOST_ADDRESS_BROADCAST;
}

/* GSO packets are measured by what they will be cut into. */
static __always_inline bool packet_fits(struct __sk_buff *skb, const struct packet *p, __u16 mtu)
{
	__u32 segment = skb->gso_size, length = p->length;

	if (segment)
		length = p->l4 - ETH_HLEN + p->l4_length + segment;
	return !mtu || length <= mtu;
}

#endif
