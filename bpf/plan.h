/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a CPU puts together what a new connection is to be: 512 bytes of stack are not enough for that. */
#ifndef NSBPF_BPF_PLAN_H
#define NSBPF_BPF_PLAN_H

struct port_search {
	struct port_range ranges[2];
	__u32 start; /* random, so that ports can't be guessed (RFC 6056) */
	__u32 count; /* of both ranges together */
	__u32 table;
	__u32 owner; /* as a NAT port's word has it */
	bool fresh;  /* the binding was made for this very connection */
};

struct workbench {
	struct conn_plan plan;
	struct route route;
	struct route found; /* a connection's, while further questions take `route` */
	struct port_search search;
	struct binding_key binding;
	struct tuple key;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct workbench);
} workbenches SEC(".maps");

static __always_inline struct workbench *workbench_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&workbenches, &zero);
}

/* An empty plan for this packet's connection. */
static __always_inline struct workbench *plan_begin(const struct packet *p)
{
	struct workbench *w = workbench_get();

	if (w) {
		__builtin_memset(&w->plan, 0, sizeof(w->plan));
		w->plan.xlat = p->tuple;
	}
	return w;
}

/*
 * The FIB gives the same answer for the host's own addresses and where there is no route. The latter it gives only
 * without a default route; without one user space's list has to do, which is as old as the last command.
 */
static __noinline bool route_is_missing(struct __sk_buff *skb, struct packet *p, struct workbench *w)
{
	bool missing;

	if (bpf_map_lookup_elem(&host_addresses, &w->key.daddr))
		return false;
	addr_set_any(&w->key.saddr, p->ipv6);
	addr_set_any(&w->key.daddr, p->ipv6);
	w->route.local = false;
	missing = route_ask(skb, p, &w->key, &w->route, 0) == VERDICT_CONTINUE && w->route.local;
	w->route.local = true;
	return missing;
}

/* The route of the workbench's key, which is lost by it. Not static: see from_endpoint_new(). */
__noinline int route_lookup(struct __sk_buff *skb, struct packet *p, __u32 wanted)
{
	struct workbench *w = workbench_get();
	enum verdict v;

	if (!p || !w)
		return VERDICT_DROP;
	__builtin_memset(&w->route, 0, sizeof(w->route));
	v = route_ask(skb, p, &w->key, &w->route, wanted);
	if (v == VERDICT_CONTINUE && w->route.local && route_is_missing(skb, p, w))
		return drop(p, DROP_NO_ROUTE);
	return v;
}

/*
 * Of several routers by router advertisements the
 * helper names the first, even if that is dead; the kernel's sockets take one that answers, and so does
 * bpf_redirect_neigh() where it is not told the next hop. But it looks that up for the translated packet, and without
 * ports: it may only choose for w->found where the FIB, asked like that, names the same router, or it might go by
 * another policy.
 */
static __noinline int nexthop_release(struct __sk_buff *skb, struct packet *p, struct workbench *w,
				      const struct tuple *translated)
{
	if (!w->found.silent)
		return 0;
	w->key = *translated;
	w->key.sport = w->key.dport = 0;
	if (route_lookup(skb, p, 0) == VERDICT_CONTINUE && !w->route.local && w->route.oif == w->found.oif &&
	    addr_equal(&w->route.nexthop, &w->found.nexthop))
		__builtin_memset(&w->found.nexthop, 0, sizeof(w->found.nexthop));
	return 0;
}

/* Is the tuple's destination an address of the host? */
static __always_inline bool route_is_local(struct __sk_buff *skb, struct packet *p, struct workbench *w,
					   const struct tuple *tuple)
{
	w->key = *tuple;
	return !is_broadcast(&tuple->daddr) && route_lookup(skb, p, 0) == VERDICT_CONTINUE && w->route.local;
}

/* Is this an address of the host, now? */
static __always_inline bool address_is_local(struct __sk_buff *skb, struct packet *p, struct workbench *w,
					     const struct nsbpf_addr *addr)
{
	__builtin_memset(&w->key, 0, sizeof(w->key));
	addr_set_any(&w->key.saddr, p->ipv6);
	w->key.daddr = *addr;
	return route_lookup(skb, p, 0) == VERDICT_CONTINUE && w->route.local;
}

#endif
