/* SPDX-License-Identifier: GPL-2.0-only */
/* Making a connection: admitted, given a place and a source port, its reply made known, then its original. */
#ifndef NSBPF_BPF_OPEN_H
#define NSBPF_BPF_OPEN_H

/*
 * How often to look for what another CPU is about to make known: some twenty milliseconds. It takes microseconds,
 * unless it is a virtual CPU whose host has something else to do: a spinlock would wait for that as well.
 */
#define OPEN_PATIENCE (1 << 20)

/* 0, or -EEXIST, with which the connection needs another port; -E2BIG: there is no room. -EBUSY: another CPU is opening
 * this very connection. */
static __always_inline int plan_claim(struct packet *p, struct workbench *w)
{
	int err = conn_claim(&w->plan);
	struct conn *c;
	__u64 ref;

	if (err != -EEXIST)
		return err;
	tuple_reverse(&w->plan.xlat, &w->key);
	ref = conn_lookup(&w->key);
	c = conn_get(ref);
	/* Else the client has one to the same endpoint by another address of the host, from the same port. */
	return ref && c && ref_dir(ref) == DIR_REPLY && tuple_equal(&c->tuples[DIR_ORIGINAL], &p->tuple) ? -EBUSY
													 : -EEXIST;
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
		err = plan_claim(p, w);
	if (err) {
		port_release(w->plan.source_ports, w->plan.xlat.proto, port);
		w->plan.source_ports = 0;
	}
	return err;
}

/* The plan's source port, and its reply. VERDICT_OPEN: another CPU is opening this connection. */
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
		err = plan_claim(p, w);
	if (err == -EBUSY)
		return VERDICT_OPEN;
	if (err == -EEXIST) {
		enum verdict v = port_overlap(skb, p, w);

		if (v == VERDICT_CONTINUE && w->plan.source == SOURCE_BINDING)
			__sync_fetch_and_add(&pr->overlaps, 1);
		return v;
	}
	return err ? drop(p, DROP_TABLE_FULL) : VERDICT_CONTINUE;
}

/* Of a connection that did not come about: its shares in NAT ports, and its place. */
static __always_inline void plan_release(const struct tuple *original, const struct conn_plan *plan)
{
	port_release(plan->source_ports, original->proto, bpf_ntohs(plan->xlat.sport));
	port_release(plan->target_ports, original->proto, bpf_ntohs(original->dport));
	if (plan->place)
		place_give(plan->place);
}

/*
 * Completes the connection, its reply being known. Of two CPUs with the first packets of one flow only one gets its
 * original in: -EEXIST for the other, whose connection is not to be.
 */
static __always_inline int conn_complete(const struct workbench *w)
{
	const struct conn_plan *plan = &w->plan;
	struct conn *c = conn_at(plan->place);
	int err;

	if (!c)
		return -E2BIG;
	c->source_ports = plan->source_ports;
	c->target_ports = plan->target_ports;
	c->listed = true;
	if (!plan->targets[DIR_ORIGINAL]) {
		c->nexthop = w->found.nexthop;
		c->oif = w->found.oif;
		c->mtu = w->found.mtu;
		c->routed = clock_now();
	}
	err = conn_publish(plan->place, DIR_ORIGINAL);
	if (err) {
		conn_unpublish(plan->place, DIR_REPLY);
		return err;
	}
	usage_add(plan->endpoint, 1, 0);
	deadline_begin(plan->place, timeout(conn_state(plan->xlat.proto, 0, 0)));
	opening_push(plan->place);
	sweep_start();
	return 0;
}

/* Is it there, or, as its reply has gone, not to be? */
static long open_wait_step(__attribute__((unused)) __u32 step, struct tuple *original)
{
	struct workbench *w = workbench_get();

	return conn_lookup(original) || !w || !conn_lookup(&w->key);
}

/* Another CPU has been faster, and may not be quite done. The workbench's key is the reply's. */
static __noinline enum verdict open_wait(struct packet *p)
{
	struct tuple original = p->tuple;

	bpf_loop(OPEN_PATIENCE, open_wait_step, &original, 0);
	return conn_lookup(&original) ? VERDICT_CONTINUE : drop(p, DROP_UNTRACKED);
}

/* How often to make room: another CPU may take the place that has become free. */
#define ROOM_RETRIES 8

/* Room in the table. VERDICT_CONTINUE: the plan has a place. */
static __always_inline enum verdict plan_place(struct packet *p, struct workbench *w)
{
	for (int i = 0; i < ROOM_RETRIES; i++) {
		enum verdict v = conn_admit(p, w->plan.endpoint);

		if (v != VERDICT_CONTINUE)
			return v;
		w->plan.place = place_take();
		if (w->plan.place)
			return VERDICT_CONTINUE;
	}
	return drop(p, DROP_TABLE_FULL);
}

/* The plan becomes a connection, once it has a place. VERDICT_OPEN: another CPU has been faster. */
static __always_inline enum verdict plan_complete(struct __sk_buff *skb, struct packet *p, struct workbench *w)
{
	enum verdict v;
	int err;

	conn_prepare(&p->tuple, &w->plan);
	v = plan_source(skb, p, w);
	if (v != VERDICT_CONTINUE)
		return v;
	tuple_reverse(&w->plan.xlat, &w->key);
	if (tuple_equal(&w->key, &p->tuple)) { /* from a socket to itself: one tuple can't be both directions */
		conn_unpublish(w->plan.place, DIR_REPLY);
		return drop(p, DROP_FILTERED);
	}
	err = conn_complete(w);
	if (!err)
		return VERDICT_CONTINUE;
	return err == -EEXIST ? VERDICT_OPEN : drop(p, DROP_TABLE_FULL);
}

/* Makes the connection that the workbench has a plan for. VERDICT_CONTINUE: there is one. */
__noinline int conn_open(struct __sk_buff *skb, struct packet *p)
{
	struct workbench *w = workbench_get();
	enum verdict v;

	if (!p || !w)
		return VERDICT_DROP;
	v = plan_place(p, w);
	if (v == VERDICT_CONTINUE)
		v = plan_complete(skb, p, w);
	if (v == VERDICT_CONTINUE) {
		if (is_heard(LISTEN(EVENT_NEW)))
			event_connection(w->plan.place, EVENT_NEW);
		return v;
	}
	plan_release(&p->tuple, &w->plan);
	return v == VERDICT_OPEN ? open_wait(p) : v;
}

#endif
