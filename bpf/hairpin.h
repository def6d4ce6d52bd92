/* SPDX-License-Identifier: GPL-2.0-only */
/* From an endpoint to the host, and from there to an endpoint: exposed ports and NAT ports. */
#ifndef NSBPF_BPF_HAIRPIN_H
#define NSBPF_BPF_HAIRPIN_H

/*
 * The source that a hairpin's target sees is the one that the outside would (RFC 4787 REQ-9): that of the default
 * route, for want of a better. A host without any shows the address that was asked for.
 */
static __always_inline void hairpin_source(struct __sk_buff *skb, struct packet *p, const struct network *net,
					   struct workbench *w)
{
	w->key = p->tuple;
	addr_set_any(&w->key.daddr, p->ipv6);
	if (p->ipv6) /* for `::` source address selection prefers a link-local address; for global unicast a global one
		      */
		w->key.daddr.words[0] = bpf_htonl(0x20000000);
	w->plan.source = SOURCE_ANY;
	w->plan.xlat.saddr = p->tuple.daddr;
	__builtin_memset(&w->route, 0, sizeof(w->route));
	if (addr_is_any(fixed_address(net, p->ipv6)) &&
	    (route_ask(skb, p, &w->key, &w->route, ROUTE_SOURCE) != VERDICT_CONTINUE || w->route.local))
		return;
	if (masquerade_address(net, p->ipv6, &w->route, &w->plan.xlat.saddr))
		w->plan.source = SOURCE_BINDING;
}

/* To an address of the host, and on to an endpoint: both ends are translated, so that the answer comes back this way,
 * from itself too. */
static __always_inline enum verdict plan_hairpin(struct __sk_buff *skb, struct packet *p, const struct network *net,
						 struct workbench *w, const struct endpoint *target, __be16 port)
{
	w->plan.endpoint = w->plan.targets[DIR_REPLY] = p->endpoint;
	w->plan.flags |= CONN_SNAT | CONN_DNAT | CONN_HAIRPIN;
	if (!endpoint_address(target, p->ipv6, &w->plan.xlat.daddr))
		return VERDICT_PASS; /* this family is the host's to answer */
	w->plan.xlat.dport = port;
	hairpin_source(skb, p, net, w);
	return VERDICT_OPEN;
}

/* To an exposed port. */
static __always_inline enum verdict to_mapping(struct __sk_buff *skb, struct packet *p, const struct network *net,
					       const struct mapping *m)
{
	struct endpoint *target = endpoint_get(m->endpoint);
	struct workbench *w = plan_begin(p);

	if (!mapping_allows(m, &p->tuple.saddr))
		return drop(p, DROP_SOURCE);
	if (!target || !w)
		return drop(p, DROP_NO_ENDPOINT);
	w->plan.targets[DIR_ORIGINAL] = m->endpoint;
	return plan_hairpin(skb, p, net, w, target, mapping_target_port(m, p->tuple.dport));
}

/*
 * To another endpoint's NAT port. By default it hears only whom it has addressed: the sender's packets wait until it
 * has sent one to the sender's NAT port, which this connection knows as its reply.
 */
static __always_inline enum verdict to_binding(struct __sk_buff *skb, struct packet *p, const struct network *net,
					       const struct binding *b)
{
	struct endpoint *target = endpoint_get(b->endpoint);
	struct network *target_net = target ? network_get(target->network) : NULL;
	struct workbench *w = plan_begin(p);
	enum verdict v;

	if (!target_net || !w)
		return drop(p, DROP_NO_ENDPOINT);
	if (!(target_net->flags & NETWORK_FULL_CONE))
		w->plan.flags = CONN_FILTERED;
	w->plan.targets[DIR_ORIGINAL] = b->endpoint;
	v = plan_hairpin(skb, p, net, w, target, bpf_htons(b->port));
	/* While it waits it must not keep the target's NAT port bound: anybody could send it for ever. */
	if (v == VERDICT_OPEN && !(w->plan.flags & CONN_FILTERED) && binding_share(b, p->tuple.proto))
		w->plan.target_ports = b->table;
	return v;
}

/* To the host itself, or to what of it belongs to an endpoint. */
static __noinline enum verdict to_host(struct __sk_buff *skb, struct packet *p, const struct network *net)
{
	struct binding b = {};
	struct mapping *m;

	if (is_broadcast(&p->tuple.daddr) || !mapping_wants(p))
		return VERDICT_PASS;
	m = mapping_lookup(p->tuple.proto, &p->tuple.daddr, p->tuple.dport);
	if (m)
		return to_mapping(skb, p, net, m);
	return binding_find(skb, p, &b) ? to_binding(skb, p, net, &b) : VERDICT_PASS;
}

#endif
