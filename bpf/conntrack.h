/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections: a pair of entries in one hash map, one a direction. The reply's goes in first, so whoever finds an
 * original finds its reply as well. The pair ends by the timer in the original, which is armed once and re-arms itself
 * for as long as there was traffic: an established packet never touches it.
 */
#ifndef NSBPF_BPF_CONNTRACK_H
#define NSBPF_BPF_CONNTRACK_H

#define CLOCK_MONOTONIC 1
#define ENOENT 2
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22
#define E2BIG 7

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

/* Or is it one whose packets only endpoints send? A stranger on the uplink may make believe to be one. */
static __always_inline bool is_from_outside(const struct conn *c)
{
	return c->target && !(c->flags & CONN_HAIRPIN);
}

static __always_inline void conn_arm(struct conn *original, __u32 idle)
{
	bpf_timer_start(&original->timer, (__u64)idle << NSBPF_CLOCK_SHIFT, 0);
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
 */
__noinline int conn_end(const struct tuple *original)
{
	__u32 source, target, endpoint;
	struct tuple key, reply;
	struct conn *c, *r;

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
	r = conn_lookup(&reply);
	if (r && tuple_is_reverse(&r->xlat, &key))
		bpf_map_delete_elem(&connections, &reply);
	if (bpf_map_delete_elem(&connections, &key))
		return -ENOENT;
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

/* The timer of an original went off: traffic since, then wait for the rest of the idle time; else it ends. */
static int conn_expire(__attribute__((unused)) void *map, struct tuple *key, struct conn *c)
{
	struct tuple original = *key;
	struct conn *reply = conn_reply(&original, c);
	__u32 idle, limit;

	if (reply) {
		idle = conn_idle(c, reply);
		limit = timeout(conn_state(original.proto, c->tcp, reply->tcp));
		if (idle < limit) {
			conn_arm(c, limit - idle);
			return 0;
		}
	}
	conn_end(&original);
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

/* Notes a connection that is unanswered or closed: see pressure.h. */
static __always_inline void conn_may_give_way(const struct tuple *original)
{
	struct pressure *pr = pressure_get();
	struct tuple *place;
	__u32 index;

	if (!pr)
		return;
	index = __sync_fetch_and_add(&pr->opened, 1) % NSBPF_MAX_CONNECTIONS;
	place = bpf_map_lookup_elem(&openings, &index);
	if (place)
		*place = *original;
}

/* A RST keeps nothing alive (RFC 7857 7.1). */
static __always_inline void conn_touch(struct __sk_buff *skb, const struct packet *p, struct conn *c)
{
	/* Two CPUs may carry one direction: a socket that two threads send on. */
	__sync_fetch_and_add(&c->packets, wire_packets(skb));
	__sync_fetch_and_add(&c->bytes, skb->len - ETH_HLEN);
	if (!(p->tcp_flags & TCP_RST))
		c->seen = clock_now();
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
	reply->target = plan->reply_target;
	reply->flags &= ~CONN_FILTERED;
	return bpf_map_update_elem(&connections, &key, reply, BPF_NOEXIST);
}

#endif
