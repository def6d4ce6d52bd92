/* SPDX-License-Identifier: GPL-2.0-only */
/* What comes from the outside: tc ingress of an uplink. Whatever is not an endpoint's is the host's, and untouched. */
#ifndef NSBPF_BPF_FROM_UPLINK_H
#define NSBPF_BPF_FROM_UPLINK_H

/*
 * The reply entry is there already. Another CPU may be opening this very connection; or the client has one to the same
 * endpoint by another address of the host, from the same port.
 */
static __always_inline bool is_our_reply(const struct packet *p, const struct conn_plan *plan)
{
	struct tuple key, original;
	struct conn *reply;

	tuple_reverse(&plan->xlat, &key);
	reply = conn_lookup(&key);
	if (!reply)
		return false;
	tuple_reverse(&reply->xlat, &original);
	return tuple_equal(&original, &p->tuple);
}

/* To an exposed port: the target is translated, the client's address is kept, and almost always its port. */
static __always_inline enum verdict open_exposed(struct __sk_buff *skb, struct packet *p, const struct mapping *m)
{
	struct endpoint *target = endpoint_get(m->endpoint);
	struct conn_plan plan = { .endpoint = m->endpoint, .target = m->endpoint, .flags = CONN_DNAT };
	int err;

	/* A bridged or routed stranger's address is not ours to serve, whatever its port. */
	if (!route_is_local(skb, p))
		return VERDICT_PASS;
	if (!target)
		return drop(p, DROP_NO_ENDPOINT);
	p->endpoint = m->endpoint;
	plan.xlat = p->tuple;
	if (bpf_map_lookup_elem(&addresses, &plan.xlat.saddr))
		return drop(p, DROP_SPOOFED_IP);
	if (!mapping_allows(m, &p->tuple.saddr))
		return drop(p, DROP_SOURCE);
	addr_set4(&plan.xlat.daddr, target->addr4);
	plan.xlat.dport = mapping_target_port(m, p->tuple.dport);
	err = conn_insert_reply(&p->tuple, &plan);
	if (err == -EEXIST && !is_our_reply(p, &plan)) {
		/* Only another port can tell the two apart; the address stays the client's. */
		enum verdict v = port_allocate(skb, p, &plan);

		if (v != VERDICT_CONTINUE)
			return v;
	} else if (err && err != -EEXIST) {
		return drop(p, DROP_TABLE_FULL);
	}
	return conn_insert_original(p, &plan);
}

/* No connection knows this packet. VERDICT_CONTINUE: now there is one. Not static for the reason in
 * from_endpoint_new(). */
__noinline int from_uplink_new(struct __sk_buff *skb, struct packet *p)
{
	struct mapping *m;

	if (!p || !mapping_wants(p) || addr_is_loopback(&p->tuple.daddr))
		return VERDICT_PASS;
	m = mapping_lookup(p->tuple.proto, &p->tuple.daddr, p->tuple.dport);
	return m ? open_exposed(skb, p, m) : VERDICT_PASS;
}

/* Or a tuple that only endpoints send, because a stranger on the uplink makes believe to be one of them? */
static __always_inline bool is_from_outside(const struct conn *c)
{
	return c->target && !(c->flags & CONN_HAIRPIN);
}

static __always_inline enum verdict from_uplink_stages(struct __sk_buff *skb, struct packet *p)
{
	struct conn *c;

	if (skb->protocol != bpf_htons(ETH_P_IP) || skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return VERDICT_PASS;
	if (parse_ipv4(skb, p) != VERDICT_CONTINUE)
		return VERDICT_PASS;
	if (p->kind == L4_FRAGMENT)
		fragment_resolve(p);
	else if (!packet_has_l4(p))
		return VERDICT_PASS;
	c = conn_lookup(&p->tuple);
	if (!c) {
		enum verdict v = from_uplink_new(skb, p);

		if (v == VERDICT_PASS && p->first_fragment)
			fragment_forget(p);
		if (v != VERDICT_CONTINUE)
			return v;
		c = conn_lookup(&p->tuple);
	}
	if (c && !is_from_outside(c))
		return VERDICT_PASS;
	return conn_forward(skb, p, c);
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct packet p = {};

	return finish(&p, from_uplink_stages(skb, &p));
}

#endif
