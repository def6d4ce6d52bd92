/* SPDX-License-Identifier: GPL-2.0-only */
/* Making a connection: admitted, given a source port, its reply inserted, then its original. */
#ifndef NSBPF_BPF_OPEN_H
#define NSBPF_BPF_OPEN_H

/*
 * Is the reply that is in the way our own? Another CPU may be opening this very connection; or the client has one to
 * the same endpoint by another address of the host, from the same port.
 */
static __always_inline bool is_our_reply(const struct packet *p, struct workbench *w)
{
	struct conn *reply;

	tuple_reverse(&w->plan.xlat, &w->key);
	reply = conn_lookup(&w->key);
	return reply && tuple_is_reverse(&reply->xlat, &p->tuple);
}

/* 0, or -EEXIST, with which the connection needs another port; the table being full is -E2BIG. */
static __always_inline int plan_insert_reply(struct packet *p, struct workbench *w)
{
	int err = conn_insert_reply(&p->tuple, &w->plan);

	return err == -EEXIST && is_our_reply(p, w) ? 0 : err;
}

/* Gives the plan the NAT port of the packet's own source port, and claims the translated tuple. */
static __always_inline int plan_bind(struct __sk_buff *skb, struct packet *p, struct workbench *w, __u16 own)
{
	struct nsbpf_addr address = w->plan.xlat.saddr;
	int err = -EEXIST, port;

	w->search.table = port_table(&address, true);
	if (!w->search.table)
		return -EEXIST;
	w->search.fresh = false;
	w->search.owner = port_owner(w->plan.endpoint, own);
	port = binding_get(skb, w, own);
	if (port < 0)
		return -EEXIST;
	w->plan.xlat.sport = bpf_htons(port);
	w->plan.source_ports = w->search.table;
	tuple_reverse(&w->plan.xlat, &w->key);
	/* The host may have a socket for the answer from this destination, or have got one since the binding was made.
	 */
	if (w->search.fresh || !has_host_socket(skb, &w->key))
		err = plan_insert_reply(p, w);
	if (err) {
		port_release(w->plan.source_ports, w->plan.xlat.proto, port);
		w->plan.source_ports = 0;
	}
	return err;
}

/* The plan's source port and its reply entry. */
static __always_inline enum verdict plan_source(struct __sk_buff *skb, struct packet *p, struct workbench *w)
{
	struct pressure *pr = pressure_get();
	__u16 own = bpf_ntohs(p->tuple.sport);
	int err = -EEXIST;

	if (!pr || !port_search_begin(&w->search, p->tuple.proto, own))
		return drop(p, DROP_NO_PORT);
	if (w->plan.source == SOURCE_BINDING)
		err = plan_bind(skb, p, w, own);
	else if (w->plan.source == SOURCE_KEPT)
		err = plan_insert_reply(p, w);
	if (err == -EEXIST) {
		enum verdict v = port_overlap(skb, p, w);

		if (v == VERDICT_CONTINUE && w->plan.source == SOURCE_BINDING)
			__sync_fetch_and_add(&pr->overlaps, 1);
		return v;
	}
	return err ? drop(p, DROP_TABLE_FULL) : VERDICT_CONTINUE;
}

/* Gives back the shares in NAT ports of a connection that did not come about. */
static __always_inline void plan_release(const struct tuple *original, const struct conn_plan *plan)
{
	port_release(plan->source_ports, original->proto, bpf_ntohs(plan->xlat.sport));
	port_release(plan->target_ports, original->proto, bpf_ntohs(original->dport));
}

/*
 * Completes the pair, its reply being in. Of two CPUs with the first packets of one flow only one gets its original in:
 * the other takes its reply back and uses what the first has made.
 */
static __noinline enum verdict conn_insert_original(struct packet *p, struct workbench *w)
{
	const struct conn_plan *plan = &w->plan;
	struct conn *original = conn_prepare(plan), *c;
	struct tuple key = p->tuple; /* on the stack: see from_endpoint_new() */
	int err = -E2BIG;

	if (original) {
		original->xlat = plan->xlat;
		original->check = tuple_check(&key);
		original->target = plan->target;
		original->flags |= CONN_ORIGINAL;
		original->deadline = deadline_take(&key, timeout(conn_state(key.proto, 0, 0)));
		original->listed = true;
		original->source_ports = plan->source_ports;
		original->target_ports = plan->target_ports;
		if (!plan->target) {
			original->nexthop = w->found.nexthop;
			original->oif = w->found.oif;
			original->mtu = w->found.mtu;
			original->routed = original->seen;
		}
		if (original->deadline)
			err = bpf_map_update_elem(&connections, &key, original, BPF_NOEXIST);
		if (err)
			deadline_give_back(original->deadline);
	}
	if (err) {
		c = conn_lookup(&key);
		/* The other CPU may have come by the same translation, and then the reply is its reply, too. */
		if (!c || !tuple_equal(&c->xlat, &plan->xlat)) {
			tuple_reverse(&plan->xlat, &w->key);
			bpf_map_delete_elem(&connections, &w->key);
		}
		plan_release(&key, plan);
		/* Or the other CPU's has ended already. */
		return c ? VERDICT_CONTINUE : drop(p, err == -EEXIST ? DROP_UNTRACKED : DROP_TABLE_FULL);
	}
	usage_add(plan->endpoint, 1, 0);
	opening_push(original->deadline);
	sweep_start();
	return VERDICT_CONTINUE;
}

/* Makes the connection that the workbench has a plan for. VERDICT_CONTINUE: there is one. */
__noinline int conn_open(struct __sk_buff *skb, struct packet *p)
{
	struct workbench *w = workbench_get();
	enum verdict v;

	if (!p || !w)
		return VERDICT_DROP;
	v = conn_admit(p, w->plan.endpoint);
	if (v == VERDICT_CONTINUE)
		v = plan_source(skb, p, w);
	if (v == VERDICT_CONTINUE) {
		tuple_reverse(&w->plan.xlat, &w->key);
		if (!tuple_equal(&w->key, &p->tuple))
			return conn_insert_original(p, w);
		/* From a socket to itself: one tuple can't be both directions. */
		bpf_map_delete_elem(&connections, &w->key);
		v = drop(p, DROP_FILTERED);
	}
	plan_release(&p->tuple, &w->plan);
	return v;
}

#endif
