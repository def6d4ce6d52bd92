/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: a pair of entries in one hash map, one a direction. The reply's goes in first, so whoever finds an
 * original finds its reply as well. The pair ends by the timer in the original, which is armed once and re-arms itself
 * for as long as there was traffic: an established packet never touches it.
 */
#ifndef NSBPF_BPF_CONNTRACK_H
#define NSBPF_BPF_CONNTRACK_H

#define CLOCK_MONOTONIC 1
#define EEXIST 17
#define EBUSY 16
#define E2BIG 7

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

/* Idle time after which a connection in this state ends, in units of clock_now(). */
static __always_inline __u32 conn_timeout(enum conn_state state)
{
	struct settings *s = settings_get();

	return s && state < CONN_STATES ? s->timeouts[state] * NSBPF_CLOCK_HZ : 0;
}

static __always_inline void conn_arm(struct conn *original, __u32 idle)
{
	bpf_timer_start(&original->timer, (__u64)idle << NSBPF_CLOCK_SHIFT, 0);
}

/* Time since `seen`. Another CPU's clock may have been read a little later than ours: that is no time at all. */
static __always_inline __u32 conn_age(__u32 seen, __u32 now)
{
	__s32 age = now - seen;

	return age > 0 ? age : 0;
}

/*
 * The timer of an original entry went off: traffic since, then wait for the rest of the idle time; else both end. The
 * reply first: a packet that finds neither entry may open the connection anew at once, and keeps what it inserts.
 */
static int conn_expire(__attribute__((unused)) void *map, struct tuple *key, struct conn *c)
{
	struct tuple original = *key, reply, back;
	__u32 idle, other, limit, now;
	struct conn *r;

	tuple_reverse(&c->xlat, &reply);
	r = conn_lookup(&reply);
	/* One that does not lead back here is another connection's. */
	if (r) {
		tuple_reverse(&r->xlat, &back);
		if (!tuple_equal(&back, &original))
			r = NULL;
	}
	if (r) {
		now = clock_now();
		idle = conn_age(c->seen, now);
		other = conn_age(r->seen, now);
		if (other < idle)
			idle = other;
		limit = conn_timeout(conn_state(original.proto, c->tcp, r->tcp));
		if (idle < limit) {
			conn_arm(c, limit - idle);
			return 0;
		}
		bpf_map_delete_elem(&connections, &reply);
	}
	bpf_map_delete_elem(&connections, &original);
	return 0;
}

/* Gives an original its timer; `idle` in units of clock_now(). */
static __always_inline int conn_time(struct conn *original, __u32 idle)
{
	int err = bpf_timer_init(&original->timer, &connections, CLOCK_MONOTONIC);

	if (err && err != -EBUSY)
		return err;
	err = bpf_timer_set_callback(&original->timer, conn_expire);
	if (err)
		return err;
	return bpf_timer_start(&original->timer, (__u64)idle << NSBPF_CLOCK_SHIFT, 0);
}

#define LATECOMERS_PER_RUN 32
#define LATECOMERS_DELAY 100000000ULL /* ns */

/* Gives connections the timer that they could not get at first; a good while later there is memory again. */
static int latecomers_run(__attribute__((unused)) void *map, __attribute__((unused)) __u32 *key, struct latecomers *l)
{
	struct tuple tuple;
	struct conn *c;

	l->pending = 0;
	for (int i = 0; i < LATECOMERS_PER_RUN; i++) {
		if (bpf_map_pop_elem(&untimed, &tuple))
			return 0;
		c = conn_lookup(&tuple);
		if (!c || !(c->flags & CONN_UNTIMED))
			continue;
		/* It looks at once how long there is to go: the connection may have closed since. */
		if (conn_time(c, 0)) {
			bpf_map_push_elem(&untimed, &tuple, BPF_ANY);
			break;
		}
		c->flags &= ~CONN_UNTIMED;
	}
	l->pending = 1;
	bpf_timer_start(&l->timer, LATECOMERS_DELAY, 0);
	return 0;
}

/*
 * The timer's memory is allocated without waiting for any lock: on Linux 6.17 and newer (__bpf_async_init) that fails
 * for one connection in a hundred, though there is plenty. So it may have to wait for its timer. False: it can't even
 * wait.
 */
static __always_inline bool conn_time_later(const struct tuple *tuple, struct conn *original)
{
	__u32 zero = 0;
	struct latecomers *l = bpf_map_lookup_elem(&latecomers, &zero);

	if (!l)
		return false;
	original->flags |= CONN_UNTIMED;
	if (bpf_map_push_elem(&untimed, tuple, 0))
		return false;
	/* Starting it again would put it off. */
	if (l->pending)
		return true;
	l->pending = 1;
	return !bpf_timer_start(&l->timer, LATECOMERS_DELAY, 0);
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
	struct tuple key = p->tuple; /* on the stack: see from_endpoint_new() */
	struct conn *c;
	int err = -E2BIG;

	if (original) {
		original->xlat = plan->xlat;
		original->target = plan->target;
		original->flags |= CONN_ORIGINAL;
		err = bpf_map_update_elem(&connections, &key, original, BPF_NOEXIST);
	}
	c = conn_lookup(&key);
	if (err) {
		/* The other CPU may have come by the same translation, and then the reply is its reply, too. */
		if (!c || !tuple_equal(&c->xlat, &plan->xlat))
			conn_remove_reply(plan);
		return c ? VERDICT_CONTINUE : drop(p, DROP_TABLE_FULL);
	}
	if (c && (!conn_time(c, conn_timeout(conn_state(key.proto, 0, 0))) || conn_time_later(&key, c)))
		return VERDICT_CONTINUE;
	/* Without its timer it would stay for ever. */
	bpf_map_delete_elem(&connections, &key);
	conn_remove_reply(plan);
	return drop(p, DROP_TABLE_FULL);
}

#endif
