/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: a pair of entries in one hash map, one a direction. The reply's goes in first, so whoever finds an
 * original finds its reply as well. The original has a deadline; an established packet never touches that, it is put
 * off when it comes and there was traffic since.
 */
#ifndef NSBPF_BPF_CONNTRACK_H
#define NSBPF_BPF_CONNTRACK_H

#define ENOENT 2
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define E2BIG 7

static __always_inline struct conn *conn_lookup(const struct tuple *tuple)
{
	return bpf_map_lookup_elem(&connections, tuple);
}

/* To be asked after the last look at an entry: the map uses a deleted one again at once. The check is in front, so it
 * is written before the rest. */
static __always_inline bool conn_is_still(const struct conn *c, const struct tuple *key)
{
	return *(volatile __u32 *)&c->check == tuple_check(key);
}

static __always_inline struct conn *conn_other_direction(const struct conn *c)
{
	struct tuple key;

	tuple_reverse(&c->xlat, &key);
	return conn_lookup(&key);
}

/* Do its packets come from outside? What only endpoints send a stranger on the uplink may make believe to send. */
static __always_inline bool is_from_outside(const struct conn *c)
{
	return c->target && !(c->flags & CONN_HAIRPIN);
}

/* The reply of this original; NULL if there is none, or one that does not lead back: it is another connection's. */
static __always_inline struct conn *conn_reply(const struct tuple *original, const struct conn *c)
{
	struct conn *reply = conn_other_direction(c);

	return reply && tuple_is_reverse(&reply->xlat, original) ? reply : NULL;
}

/*
 * Ends a connection: both entries, its shares in NAT ports, its place in the count. The reply goes first: a packet that
 * finds neither entry may open the connection anew at once, and keeps what it inserts. 0, or -ENOENT if it has ended.
 * The map uses a deleted entry again at once, so what was read of one may be another connection's by now: whoever takes
 * the deadline away has read the right one, and is the only one to end it.
 */
__noinline int conn_end(const struct tuple *original)
{
	__u32 source, target, endpoint, deadline;
	struct tuple key, reply;
	struct conn *c, *r;
	long err;

	if (!original)
		return -ENOENT;
	key = *original; /* on the stack: see from_endpoint_new() */
	c = conn_lookup(&key);
	if (!c || !(c->flags & CONN_ORIGINAL))
		return -ENOENT;
	source = c->source_ports;
	target = c->target_ports;
	endpoint = c->endpoint;
	tuple_reverse(&c->xlat, &reply);
	deadline = *(volatile __u32 *)&c->deadline;
	if (!deadline_end(deadline, &key))
		return -ENOENT;
	r = conn_lookup(&reply);
	if (r && tuple_is_reverse(&r->xlat, &key))
		bpf_map_delete_elem(&connections, &reply);
	err = bpf_map_delete_elem(&connections, &key);
	if (err && err != -ENOENT)
		deadline_set(deadline, 0); /* -EBUSY, Linux before 6.15: the next sweep tries again */
	if (err)
		return err;
	usage_add(endpoint, -1, 0);
	port_release(source, key.proto, bpf_ntohs(reply.dport));
	port_release(target, key.proto, bpf_ntohs(key.dport));
	return 0;
}

/* Idle time by the direction that counts: with SETTING_NO_INBOUND_REFRESH not by what comes from outside. */
static __always_inline __u32 conn_idle(const struct conn *c, const struct conn *reply)
{
	__u32 now = clock_now(), mine = clock_age(c->seen, now), other = clock_age(reply->seen, now);
	struct settings *s = settings_get();

	if (s && s->flags & SETTING_NO_INBOUND_REFRESH && !(c->flags & CONN_HAIRPIN))
		return c->target ? other : mine;
	return mine < other ? mine : other;
}

/*
 * A deadline has come: traffic since, then it is put off for the rest of the idle time; else the connection ends. A
 * place whose connection is gone without it is free; unless it is somebody else's by now, and has another deadline.
 */
static __noinline int conn_expire(__u32 place, __u32 *at, __u32 was)
{
	struct tuple *tuple = deadline_tuple(place), original;
	struct conn *c, *reply;
	__u32 idle, limit;

	if (!tuple || !at)
		return 0;
	original = *tuple;
	c = conn_lookup(&original);
	if (!c || c->deadline != place) {
		__sync_val_compare_and_swap(at, was, 0);
		return 0;
	}
	reply = conn_reply(&original, c);
	if (reply) {
		idle = conn_idle(c, reply);
		limit = timeout(conn_state(original.proto, c->tcp, reply->tcp));
		if (idle < limit) {
			__sync_val_compare_and_swap(at, was, deadline_in(limit - idle));
			return 0;
		}
	}
	conn_end(&original);
	return 0;
}

static long sweep_step(__u32 step, __u32 *first)
{
	__u32 index = *first + step, now = clock_now();
	struct deadlines *d = bpf_map_lookup_elem(&deadlines, &index);

	if (!d)
		return 1;
	for (__u32 i = 0; i < 8; i++) {
		__u32 at = *(volatile __u32 *)&d->at[i];

		if (at && (__s32)(now - at) >= 0)
			conn_expire(1 + index * 8 + i, &d->at[i], at);
	}
	return 0;
}

/* The sweep's timer. It rests while there are no connections: sweep_start(). */
static int sweep_run(__attribute__((unused)) void *map, __attribute__((unused)) __u32 *key, struct sweep *s)
{
	struct usage *all;
	__u32 first = s->next, zero = 0;

	bpf_loop(SWEEP_STEPS, sweep_step, &first, 0);
	s->next = (first + SWEEP_STEPS) % (NSBPF_MAX_DEADLINES / 8);
	all = bpf_map_lookup_elem(&usage, &zero);
	if (all && !all->connections) {
		__sync_lock_test_and_set(&s->running, 0);
		/* One that was opened in between may have seen it running still. */
		if (!*(volatile __u32 *)&all->connections || __sync_lock_test_and_set(&s->running, 1))
			return 0;
	}
	bpf_timer_start(&s->timer, sweep_interval(), 0);
	return 0;
}

/* Into the ring of those that may give way, by its place among the deadlines: see pressure.h. */
static __always_inline void opening_push(__u32 deadline)
{
	struct pressure *pr = pressure_get();
	__u32 index, *place;

	if (!pr)
		return;
	index = __sync_fetch_and_add(&pr->opened, 1) % NSBPF_MAX_OPENINGS;
	place = bpf_map_lookup_elem(&openings, &index);
	if (place)
		*place = deadline;
}

/* An original is unanswered, or closed. It is in the ring once: else one that is closed and opened often enough would
 * push all others out. */
static __always_inline void conn_may_give_way(struct conn *original)
{
	if (original->listed)
		return;
	original->listed = true;
	opening_push(original->deadline);
}

/* A RST keeps nothing alive (RFC 7857 7.1). */
static __always_inline void conn_touch(struct __sk_buff *skb, const struct packet *p, struct conn *c, __u32 now)
{
	/* Two CPUs may carry one direction: a socket that two threads send on. */
	__sync_fetch_and_add(&c->packets, wire_packets(skb));
	__sync_fetch_and_add(&c->bytes, skb->len - ETH_HLEN);
	if (!(p->tcp_flags & TCP_RST))
		c->seen = now;
}

/* How a new connection comes by its source port. */
enum plan_source {
	SOURCE_BINDING, /* a NAT port that belongs to the endpoint's port */
	SOURCE_ANY,     /* any that no connection to this destination has */
	SOURCE_KEPT,    /* its own, unless another connection has it */
};

/* What a new connection is to be. */
struct conn_plan {
	struct tuple xlat; /* of the original direction */
	__u16 endpoint;
	__u16 target; /* of original packets */
	__u16 reply_target;
	__u8 flags;
	__u8 source;       /* enum plan_source */
	__u8 source_ports; /* its share in a NAT port, as struct conn has it */
	__u8 target_ports;
	__u8 pad[2];
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
	reply->check = tuple_check(&key);
	reply->target = plan->reply_target;
	reply->flags &= ~CONN_FILTERED;
	return bpf_map_update_elem(&connections, &key, reply, BPF_NOEXIST);
}

#endif
