/*
 * Connections: opened with both directions or not at all, and ended with both. The reply's is made known first, so
 * whoever finds an original finds a whole connection. Each has a deadline; an established packet never touches that, it
 * is put off when it comes and there was traffic since.
 */
#ifndef NSBPF_BPF_CONNTRACK_H
#define NSBPF_BPF_CONNTRACK_H

#define PLACE_RETRIES 64 /* as often may other CPUs be faster to take a place */

/* To be asked after the last look at a connection: its place may be another's by then. */
static __always_inline bool conn_is_still(const struct conn *c, __u64 ref)
{
	return *(volatile __u32 *)&c->tags[ref_dir(ref)] == ref_tag(ref);
}

/* Do its packets come from outside? What only endpoints send a stranger on the uplink may make believe to send. */
static __always_inline bool is_from_outside(const struct conn *c, enum conn_dir dir)
{
	return c->targets[dir] && !(c->flags & CONN_HAIRPIN);
}

/*
 * A place for a connection to come; 0: there is none. The ring has as many entries as there are places, so it never
 * runs over, and one that nobody uses has its turn last: whoever is at work on a packet still may have known it.
 * Not static: see from_endpoint_new().
 */
__noinline __u32 place_take(void)
{
	struct pressure *pr = pressure_get();

	if (!pr)
		return 0;
	for (int i = 0; i < PLACE_RETRIES; i++) {
		__u32 at = *(volatile __u32 *)&pr->taken, place;
		__u32 *entry = word_get(&places, at & (max_connections - 1));

		place = entry ? *(volatile __u32 *)entry : 0;
		if (!place && *(volatile __u32 *)&pr->taken == at) /* none is left, or it is just being given back */
			return 0;
		if (place && __sync_val_compare_and_swap(&pr->taken, at, at + 1) == at) {
			*entry = 0;
			return place;
		}
	}
	return 0;
}

static __always_inline void place_give(__u32 place)
{
	struct pressure *pr = pressure_get();
	__u32 *entry;

	if (!pr)
		return;
	entry = word_get(&places, __sync_fetch_and_add(&pr->given, 1) & (max_connections - 1));
	if (entry)
		*entry = place;
}

/*
 * Ends a connection, whichever direction `ref` is: both directions, its shares in NAT ports, its place in the count. 0,
 * or -ENOENT if it has ended: whoever takes the deadline away is the only one to end it. -EBUSY: not now.
 */
__noinline int conn_end(__u64 ref)
{
	__u32 place = ref_place(ref), source, target, source_port, target_port, endpoint;
	struct conn *c = conn_at(place);
	__u8 proto;

	if (is_frozen())
		return -EBUSY;
	if (!c || !deadline_end(ref, c))
		return -ENOENT;
	conn_unpublish(place, DIR_REPLY);
	conn_unpublish(place, DIR_ORIGINAL);
	if (is_heard(LISTEN(EVENT_DESTROY)))
		event_connection(place, EVENT_DESTROY);
	proto = c->tuples[DIR_ORIGINAL].proto;
	endpoint = c->endpoint;
	source = c->source_ports;
	target = c->target_ports;
	source_port = bpf_ntohs(c->tuples[DIR_REPLY].dport);
	target_port = bpf_ntohs(c->tuples[DIR_ORIGINAL].dport);
	place_give(place);
	usage_add(endpoint, -1, 0);
	port_release(source, proto, source_port);
	port_release(target, proto, target_port);
	return 0;
}

/* Idle time by the direction that counts: with SETTING_NO_INBOUND_REFRESH not by what comes from outside. */
static __always_inline __u32 conn_idle(const struct conn *c, const struct traffic *original,
				       const struct traffic *reply)
{
	__u32 now = clock_now(), first = clock_age(original->seen, now), second = clock_age(reply->seen, now);
	struct settings *s = settings_get();

	if (s && s->flags & SETTING_NO_INBOUND_REFRESH && !(c->flags & CONN_HAIRPIN))
		return c->targets[DIR_ORIGINAL] ? second : first;
	return first < second ? first : second;
}

/* A deadline has come: traffic since, then it is put off for the rest of the idle time; else the connection ends. */
static __noinline int conn_expire(__u32 place, __u32 *at, __u32 was)
{
	struct traffic *original = traffic_at(place, DIR_ORIGINAL), *reply = traffic_at(place, DIR_REPLY);
	struct conn *c = conn_at(place);
	__u32 idle, limit;

	if (!c || !original || !reply || !at)
		return 0;
	idle = conn_idle(c, original, reply);
	limit = timeout(conn_state(c->tuples[DIR_ORIGINAL].proto, original->tcp, reply->tcp));
	if (idle < limit)
		__sync_val_compare_and_swap(at, was, deadline_in(limit - idle));
	else
		conn_end(conn_ref(c, place, DIR_ORIGINAL));
	return 0;
}

static long sweep_step(__u32 step, __u32 *first)
{
	__u32 number = *first + step, now = clock_now();
	struct block *b = bpf_map_lookup_elem(&deadlines, &number);

	if (!b)
		return 1;
	for (__u32 i = 0; i < NSBPF_BLOCK_WORDS; i++) {
		__u32 at = *(volatile __u32 *)&b->words[i];

		if (at && (__s32)(now - at) >= 0)
			conn_expire(1 + number * NSBPF_BLOCK_WORDS + i, &b->words[i], at);
	}
	return 0;
}

/* The sweep's timer. It rests while there are no connections: sweep_start(). */
static int sweep_run(__attribute__((unused)) void *map, __attribute__((unused)) __u32 *key, struct sweep *s)
{
	struct usage *all;
	__u32 first = s->next, zero = 0;

	bpf_loop(SWEEP_STEPS, sweep_step, &first, 0);
	s->next = (first + SWEEP_STEPS) & (max_connections / NSBPF_BLOCK_WORDS - 1);
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

/* Into the ring of those that may give way: see pressure.h. */
static __always_inline void opening_push(__u32 place)
{
	struct pressure *pr = pressure_get();
	__u32 at, *opening;

	if (!pr)
		return;
	at = __sync_fetch_and_add(&pr->opened, 1);
	opening = word_get(&openings, at & (OPENINGS_PER_CONNECTION * max_connections - 1));
	if (opening)
		*opening = place;
}

/* A connection is unanswered, or closed. It is in the ring once: else one that is closed and opened often enough would
 * push all others out. */
static __always_inline void conn_may_give_way(struct conn *c, __u32 place)
{
	if (c->listed)
		return;
	c->listed = true;
	opening_push(place);
}

/* A RST keeps nothing alive (RFC 7857 7.1). */
static __always_inline void conn_touch(struct __sk_buff *skb, const struct packet *p, struct traffic *t, __u32 now)
{
	/* Two CPUs may carry one direction: a socket that two threads send on. */
	__sync_fetch_and_add(&t->packets, wire_packets(skb));
	__sync_fetch_and_add(&t->bytes, skb->len - ETH_HLEN);
	if (!(p->tcp_flags & TCP_RST))
		t->seen = now;
}

/* How a new connection comes by its source port. */
enum plan_source {
	SOURCE_BINDING, /* a NAT port that belongs to the endpoint's port */
	SOURCE_ANY,     /* any that no connection to this destination has */
	SOURCE_KEPT,    /* its own, unless another connection has it */
};

/* What a new connection is to be. */
struct conn_plan {
	struct tuple xlat; /* what its original packets become */
	__u32 place;
	__u16 endpoint;
	__u16 targets[CONN_DIRS];
	__u8 flags;
	__u8 source;       /* enum plan_source */
	__u8 source_ports; /* its share in a NAT port, as struct conn has it */
	__u8 target_ports;
	__u8 pad[2];
};

/* A connection as the plan has it, yet without translation, in the place it is to have. */
static __always_inline void conn_prepare(const struct tuple *original, const struct conn_plan *plan)
{
	struct traffic *t[CONN_DIRS] = { traffic_at(plan->place, DIR_ORIGINAL), traffic_at(plan->place, DIR_REPLY) };
	struct conn *c = conn_at(plan->place);

	if (!c || !t[DIR_ORIGINAL] || !t[DIR_REPLY])
		return;
	/* First of all, and with a barrier: whoever is still at work for the place's last connection notices by this.
	 */
	__sync_lock_test_and_set((__u64 *)c->tags, 0);
	__builtin_memset(c, 0, sizeof(*c));
	c->tuples[DIR_ORIGINAL] = *original;
	c->endpoint = plan->endpoint;
	c->targets[DIR_ORIGINAL] = plan->targets[DIR_ORIGINAL];
	c->targets[DIR_REPLY] = plan->targets[DIR_REPLY];
	c->flags = plan->flags;
	for (int dir = 0; dir < CONN_DIRS; dir++) {
		__builtin_memset(t[dir], 0, sizeof(*t[dir]));
		t[dir]->seen = clock_now();
	}
}

/* Claims the translated tuple. 0, -EEXIST if another connection has it, -E2BIG if there is no room for it. */
static __noinline int conn_claim(const struct conn_plan *plan)
{
	struct conn *c = conn_at(plan->place);

	if (!c)
		return -E2BIG;
	tuple_reverse(&plan->xlat, &c->tuples[DIR_REPLY]);
	return conn_publish(plan->place, DIR_REPLY);
}

#endif
