/* SPDX-License-Identifier: GPL-2.0-only */
/* What comes from the outside: tc ingress of an uplink. Whatever is not an endpoint's is the host's, and untouched. */
#ifndef NSBPF_BPF_FROM_UPLINK_H
#define NSBPF_BPF_FROM_UPLINK_H

/* Into an endpoint: the target is translated, the client's address is kept, and almost always its port. */
static __always_inline enum verdict plan_inbound(struct packet *p, struct workbench *w, const struct endpoint *target,
						 __be16 port)
{
	struct nsbpf_addr client = p->tuple.saddr;

	if (bpf_map_lookup_elem(&addresses, &client))
		return drop(p, DROP_SPOOFED_IP);
	if (!endpoint_address(target, p->ipv6, &w->plan.xlat.daddr))
		return VERDICT_PASS; /* this family is the host's to answer */
	w->plan.xlat.dport = port;
	w->plan.endpoint = w->plan.targets[DIR_ORIGINAL] = p->endpoint;
	w->plan.flags = CONN_DNAT;
	w->plan.source = SOURCE_KEPT;
	return VERDICT_OPEN;
}

static __always_inline enum verdict to_exposed(struct __sk_buff *skb, struct packet *p, const struct mapping *m)
{
	struct endpoint *target = endpoint_get(m->endpoint);
	struct workbench *w = plan_begin(p);

	/* A bridged or routed stranger's address is not ours to serve, whatever its port. */
	if (!w || !route_is_local(skb, p, w, &p->tuple))
		return VERDICT_PASS;
	p->endpoint = m->endpoint;
	if (!target)
		return drop(p, DROP_NO_ENDPOINT);
	if (!mapping_allows(m, &p->tuple.saddr))
		return drop(p, DROP_SOURCE);
	return plan_inbound(p, w, target, mapping_target_port(m, p->tuple.dport));
}

/* RFC 5382 REQ-4 asks for 6 s of silence, in which the endpoint may open the connection from its side. */
#define REFUSE_AFTER 6
#define REFUSE_WITHIN 240 /* what comes later than that is another attempt */

/*
 * A SYN to a NAT port, from where its endpoint has sent nothing to. No BPF timer can send the error that is due after
 * 6 s: so the first SYN after them is answered, and others after it.
 */
static __always_inline enum verdict port_refuses(struct packet *p)
{
	struct tuple key = p->tuple;
	__u32 *first = bpf_map_lookup_elem(&unsolicited, &key), now = clock_now();
	__u32 age = first ? clock_age(*first, now) : 0;

	if (!first || age >= seconds(REFUSE_WITHIN)) {
		bpf_map_update_elem(&unsolicited, &key, &now, BPF_ANY);
		return drop(p, DROP_FILTERED);
	}
	return drop(p, age < seconds(REFUSE_AFTER) ? DROP_FILTERED : DROP_REFUSED);
}

/* To a NAT port: for everybody's use in a network with endpoint-independent filtering, else nobody's but its peers'. */
static __always_inline enum verdict to_bound(struct packet *p, const struct binding *b)
{
	struct endpoint *target = endpoint_get(b->endpoint);
	struct network *net = target ? network_get(target->network) : NULL;
	struct workbench *w = plan_begin(p);
	enum verdict v;

	p->endpoint = b->endpoint;
	if (!net || !w)
		return drop(p, DROP_NO_ENDPOINT);
	if (!(net->flags & NETWORK_FULL_CONE))
		return p->tuple.proto == IPPROTO_TCP ? port_refuses(p) : drop(p, DROP_FILTERED);
	v = plan_inbound(p, w, target, bpf_htons(b->port));
	if (v == VERDICT_OPEN && binding_share(b, p->tuple.proto))
		w->plan.target_ports = b->table;
	return v;
}

/* No connection knows this packet. VERDICT_OPEN: now there is a plan for one. Not static for the reason in
 * from_endpoint_new(). */
__noinline int from_uplink_new(struct __sk_buff *skb, struct packet *p)
{
	struct nsbpf_addr source;
	struct binding b = {};
	struct mapping *m;

	if (!p || !mapping_wants(p) || addr_is_loopback(&p->tuple.daddr))
		return VERDICT_PASS;
	/* From outside, and from an address of the host: a martian, for the host's stack to drop. */
	source = p->tuple.saddr;
	if (bpf_map_lookup_elem(&host_addresses, &source))
		return VERDICT_PASS;
	m = mapping_lookup(p->tuple.proto, &p->tuple.daddr, p->tuple.dport);
	if (m)
		return to_exposed(skb, p, m);
	return binding_find(skb, p, &b) ? to_bound(p, &b) : VERDICT_PASS;
}

static __always_inline bool networks_are_routed(void)
{
	struct settings *s = settings_get();

	return s && s->flags & SETTING_ROUTED;
}

/*
 * To an endpoint's own address: plain forwarding, of whatever protocol, if its network is routed. Not static for the
 * reason in from_endpoint_new().
 */
__noinline int to_routed(struct __sk_buff *skb, struct packet *p)
{
	struct nsbpf_addr source, destination;
	struct endpoint *target;
	struct network *net;
	enum verdict v;
	__u32 *slot;

	if (!p)
		return VERDICT_PASS;
	source = p->tuple.saddr;
	destination = p->tuple.daddr;
	slot = bpf_map_lookup_elem(&addresses, &destination);
	target = slot ? endpoint_get(*slot) : NULL;
	net = target ? network_get(target->network) : NULL;
	if (!net || !is_routed(net, p->ipv6) || addr_is_loopback(&source) || addr_is_multicast(&source) ||
	    (!p->ipv6 && !addr_get4(&source)) || bpf_map_lookup_elem(&host_addresses, &source))
		return VERDICT_PASS;
	p->endpoint = *slot;
	if (bpf_map_lookup_elem(&addresses, &source))
		return drop(p, DROP_SPOOFED_IP);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	if (!packet_fits(skb, p, target->mtu)) {
		p->mtu = target->mtu;
		return drop(p, DROP_TOO_BIG);
	}
	v = rewrite_ttl(skb, p);
	return v == VERDICT_CONTINUE ? forward_to_endpoint(skb, p, *slot) : v;
}

/* IPv6 between link-local addresses, to a group (whatever MAC it has been sent to), or from where no answer can go. */
static __always_inline bool stays_on_link(const struct packet *p)
{
	const struct nsbpf_addr *source = &p->tuple.saddr, *destination = &p->tuple.daddr;

	return addr_is_link_local(source) || addr_is_link_local(destination) || addr_is_multicast(source) ||
	       addr_is_multicast(destination) || addr_is_any(source);
}

/* VERDICT_CONTINUE: its datagram is an endpoint's. One whose first fragment is still to come may be the host's own, or
 * not: the host gets it, and we keep a copy. */
static __always_inline enum verdict from_uplink_fragment(struct __sk_buff *skb, struct packet *p)
{
	if (fragment_resolve(p))
		return VERDICT_CONTINUE;
	if (!fragment_may_be_translated(p) || is_hosts_datagram(p) || fragment_hold(skb, p) != VERDICT_CONTINUE)
		return VERDICT_PASS;
	return VERDICT_CONTINUE;
}

static __always_inline enum verdict from_uplink_icmp(struct __sk_buff *skb, struct packet *p)
{
	enum verdict v = icmp_error(skb, p);

	return v == VERDICT_CONTINUE ? related_forward(skb, p, 0) : v;
}

/* VERDICT_PASS: no connection's, and none may be opened by it. */
static __always_inline enum verdict from_uplink_ip(struct __sk_buff *skb, struct packet *p)
{
	struct conn *c;
	enum verdict v;
	__u64 ref;

	if (p->kind == L4_ICMP_OTHER)
		return from_uplink_icmp(skb, p);
	if (p->kind == L4_FRAGMENT) {
		v = from_uplink_fragment(skb, p);
		if (v != VERDICT_CONTINUE)
			return v;
	} else if (!packet_has_l4(p)) {
		return VERDICT_PASS;
	}
	ref = conn_lookup(&p->tuple);
	if (!ref) {
		v = from_uplink_new(skb, p);
		if (v == VERDICT_OPEN)
			v = conn_open(skb, p);
		if (v == VERDICT_PASS && p->first_fragment)
			fragment_is_the_hosts(p);
		if (v != VERDICT_CONTINUE)
			return v;
		ref = conn_lookup(&p->tuple);
	}
	c = conn_get(ref);
	if (c && !is_from_outside(c, ref_dir(ref)))
		return VERDICT_PASS;
	return conn_forward(skb, p, ref, clock_now());
}

static __always_inline enum verdict from_uplink_stages(struct __sk_buff *skb, struct packet *p)
{
	enum verdict v;

	if (skb->vlan_present || skb->pkt_type != PACKET_HOST)
		return VERDICT_PASS;
	if (likely(skb->protocol == bpf_htons(ETH_P_IP)))
		v = parse_ipv4(skb, p);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		v = parse_ipv6(skb, p) == VERDICT_CONTINUE && !stays_on_link(p) ? VERDICT_CONTINUE : VERDICT_PASS;
	else
		v = VERDICT_PASS;
	if (v != VERDICT_CONTINUE)
		return VERDICT_PASS;
	v = from_uplink_ip(skb, p);
	return v == VERDICT_PASS && networks_are_routed() ? to_routed(skb, p) : v;
}

SEC("tc")
int from_uplink(struct __sk_buff *skb)
{
	struct packet p = {};

	watch(skb, &p);
	return finish(skb, &p, from_uplink_stages(skb, &p), EVENT_FROM_UPLINK);
}

#endif
