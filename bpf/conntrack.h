/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: a pair of entries in one hash map, one a direction. An original entry always has its reply entry: the
 * reply is inserted first and removed last. The pair ends by the timer in the original entry, which is armed once and
 * re-arms itself for as long as there was traffic, so an established packet never touches it.
 */
#ifndef NSBPF_BPF_CONNTRACK_H
#define NSBPF_BPF_CONNTRACK_H

#define CLOCK_MONOTONIC 1
#define EEXIST 17
#define E2BIG 7

static __always_inline __u32 clock_now(void)
{
	return bpf_ktime_get_coarse_ns() >> NSBPF_CLOCK_SHIFT;
}

static __always_inline struct settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct conn *conn_lookup(const struct tuple *tuple)
{
	return bpf_map_lookup_elem(&connections, tuple);
}

static __always_inline struct conn *conn_other_direction(const struct conn *c)
{
	struct tuple key;

	tuple_reverse(&c->xlat, &key);
	return conn_lookup(&key);
}

/* Idle time after which a connection in this state ends, CLOCK_UNIT. */
static __always_inline __u32 conn_timeout(enum conn_state state)
{
	struct settings *s = settings_get();

	return s && state < CONN_STATES ? s->timeouts[state] * NSBPF_CLOCK_HZ : 0;
}

static __always_inline void conn_arm(struct conn *original, __u32 idle)
{
	bpf_timer_start(&original->timer, (__u64)idle << NSBPF_CLOCK_SHIFT, 0);
}

/* The timer of an original entry went off: traffic since, then wait for the rest of the idle time; else both end. */
static int conn_expire(__attribute__((unused)) void *map, struct tuple *key, struct conn *c)
{
	struct tuple original = *key, reply;
	__u32 idle, limit, now = clock_now();
	struct conn *r;

	tuple_reverse(&c->xlat, &reply);
	r = conn_lookup(&reply);
	if (r) {
		idle = now - c->seen;
		if (now - r->seen < idle)
			idle = now - r->seen;
		limit = conn_timeout(conn_state(original.proto, c->tcp, r->tcp));
		if (idle < limit) {
			conn_arm(c, limit - idle);
			return 0;
		}
	}
	bpf_map_delete_elem(&connections, &original);
	bpf_map_delete_elem(&connections, &reply);
	return 0;
}

static __always_inline void conn_touch(struct __sk_buff *skb, struct conn *c, __u32 now)
{
	/* Two CPUs may carry one direction: a socket that two threads send on. */
	__sync_fetch_and_add(&c->packets, wire_packets(skb));
	__sync_fetch_and_add(&c->bytes, skb->len - ETH_HLEN);
	c->seen = now;
}

/* A closing connection's tuple may be used again at once: the entry and its NAT stay, its state starts anew. */
static __always_inline bool tcp_reopens(const struct packet *p, const struct conn *c, const struct conn *other)
{
	enum conn_state state;

	if ((p->tcp_flags & (TCP_SYN | TCP_ACK)) != TCP_SYN || !(c->flags & CONN_ORIGINAL))
		return false;
	state = conn_state(IPPROTO_TCP, c->tcp, other->tcp);
	return state == CONN_TCP_CLOSING || state == CONN_TCP_RESET;
}

static __always_inline __u8 tcp_seen(const struct packet *p)
{
	return (p->tcp_flags & TCP_SYN ? TCP_SEEN_SYN : 0) | (p->tcp_flags & TCP_ACK ? TCP_SEEN_ACK : 0) |
	       (p->tcp_flags & TCP_FIN ? TCP_SEEN_FIN : 0) | (p->tcp_flags & TCP_RST ? TCP_SEEN_RST : 0);
}

static __noinline int tcp_transition(struct packet *p, struct conn *c)
{
	struct conn *other = conn_other_direction(c);
	enum conn_state before, after;

	if (!other)
		return 0;
	before = conn_state(IPPROTO_TCP, c->tcp, other->tcp);
	if (tcp_reopens(p, c, other))
		c->tcp = other->tcp = 0;
	/* Whoever still talks was not the one that reset the connection. */
	if (!(p->tcp_flags & TCP_RST))
		c->tcp &= ~TCP_SEEN_RST;
	c->tcp |= tcp_seen(p);
	after = conn_state(IPPROTO_TCP, c->tcp, other->tcp);

	/* The timer may be set for hours: a state that ends sooner has to say so. Others wait for it to look again. */
	if (after != before && (after == CONN_TCP_CLOSING || after == CONN_TCP_RESET || after == CONN_TCP_SYN))
		conn_arm(c->flags & CONN_ORIGINAL ? c : other, conn_timeout(after));
	return 0;
}

/* Established traffic has nothing to tell: only packets that may change the state go on to tcp_transition(). */
static __always_inline void tcp_track(struct packet *p, struct conn *c)
{
	if (p->tuple.proto != IPPROTO_TCP || p->kind != L4_PORTS)
		return;
	if ((p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || !(c->tcp & TCP_SEEN_ACK) || (c->tcp & TCP_SEEN_RST))
		tcp_transition(p, c);
}

/* What a new connection is to be. */
struct conn_plan {
	struct tuple xlat; /* of the original direction */
	__u16 endpoint;
	__u16 target; /* of original packets */
	__u16 reply_target;
	__u8 flags;
};

/* An entry as the plan has it, yet without translation. */
static __always_inline struct conn *conn_prepare(const struct conn_plan *plan)
{
	__u32 zero = 0;
	struct conn *c = bpf_map_lookup_elem(&scratch, &zero);

	if (!c)
		return NULL;
	__builtin_memset(c, 0, sizeof(*c));
	c->endpoint = plan->endpoint;
	c->flags = plan->flags;
	c->seen = clock_now();
	return c;
}

/* Claims the translated tuple. 0, -EEXIST if another connection has it, -E2BIG if the table is full. */
static __noinline int conn_insert_reply(const struct tuple *original, const struct conn_plan *plan)
{
	struct conn *reply = conn_prepare(plan);
	struct tuple key;

	if (!reply)
		return -E2BIG;
	tuple_reverse(&plan->xlat, &key);
	tuple_reverse(original, &reply->xlat);
	reply->target = plan->reply_target;
	return bpf_map_update_elem(&connections, &key, reply, BPF_NOEXIST);
}

static __always_inline void conn_remove_reply(const struct conn_plan *plan)
{
	struct tuple key;

	tuple_reverse(&plan->xlat, &key);
	bpf_map_delete_elem(&connections, &key);
}

/*
 * Completes the pair, its reply being in. Of two CPUs with the first packets of one flow only one gets its original in:
 * the other takes its reply back and uses what the first has made.
 */
static __noinline enum verdict conn_insert_original(struct packet *p, const struct conn_plan *plan)
{
	struct conn *original = conn_prepare(plan);
	struct conn *c;
	int err = -E2BIG;

	if (original) {
		original->xlat = plan->xlat;
		original->target = plan->target;
		original->flags |= CONN_ORIGINAL;
		err = bpf_map_update_elem(&connections, &p->tuple, original, BPF_NOEXIST);
	}
	c = conn_lookup(&p->tuple);
	if (err) {
		/* The other CPU may have come by the same translation, and then the reply is its reply, too. */
		if (!c || !tuple_equal(&c->xlat, &plan->xlat))
			conn_remove_reply(plan);
		return c ? VERDICT_CONTINUE : drop(p, DROP_TABLE_FULL);
	}
	if (c && !bpf_timer_init(&c->timer, &connections, CLOCK_MONOTONIC) &&
	    !bpf_timer_set_callback(&c->timer, conn_expire) &&
	    !bpf_timer_start(&c->timer, (__u64)conn_timeout(conn_state(p->tuple.proto, 0, 0)) << NSBPF_CLOCK_SHIFT, 0))
		return VERDICT_CONTINUE;
	/* Without its timer it would stay for ever. */
	bpf_map_delete_elem(&connections, &p->tuple);
	conn_remove_reply(plan);
	return drop(p, DROP_TABLE_FULL);
}

#endif
