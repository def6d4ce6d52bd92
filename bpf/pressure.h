/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When room runs out: an endpoint's share of the table, and who gives way. Assured connections never do; unanswered and
 * closed ones do, the oldest first, and an endpoint's own before those of others, unless the other one has more.
 */
#ifndef NSBPF_BPF_PRESSURE_H
#define NSBPF_BPF_PRESSURE_H

/*
 * Without a limit of its own an endpoint may hold so many times what is still free: a flood ends at 8/9 of the table,
 * and whoever comes next always finds room (the dynamic threshold of shared packet buffers). The next flood takes from
 * the first, as long as that has more.
 */
#define FAIR_SHARE 8
#define GIVE_WAY_STEPS 128

struct give_way {
	__u32 endpoint; /* that wants room */
	bool own_only;
	bool done;
};

/* Has it been answered, and is it not closed? */
static __always_inline bool conn_is_assured(const struct conn *c, __u32 place)
{
	struct traffic *original = traffic_at(place, DIR_ORIGINAL), *reply = traffic_at(place, DIR_REPLY);
	__u8 proto = c->tuples[DIR_ORIGINAL].proto;
	enum conn_state state;

	if (!original || !reply)
		return true;
	if (proto != IPPROTO_TCP)
		return reply->packets;
	state = conn_state(proto, original->tcp, reply->tcp);
	return state == CONN_TCP_ESTABLISHED || state == CONN_TCP_FIN;
}

static __always_inline __u32 connections_of(__u32 endpoint)
{
	struct usage *u = bpf_map_lookup_elem(&usage, &endpoint);

	return u ? u->connections : 0;
}

/* Whose connections may end for somebody: his own, and those of who has more. */
static __always_inline bool gives_way_to(__u32 endpoint, __u32 wanting)
{
	return endpoint == wanting || connections_of(endpoint) > connections_of(wanting);
}

static __always_inline bool must_give_way(const struct give_way *g, __u32 endpoint)
{
	return g->own_only ? endpoint == g->endpoint : gives_way_to(endpoint, g->endpoint);
}

/*
 * Where to look next: the ring, the oldest first. When that is empty, all places in turn: an entry that was overwritten
 * must not keep its connection for ever. 0: not this time.
 */
static __always_inline __u32 give_way_next(struct pressure *pr)
{
	__u32 at = *(volatile __u32 *)&pr->examined, opened = *(volatile __u32 *)&pr->opened, *opening;
	__u32 ring = OPENINGS_PER_CONNECTION * max_connections;

	if (at == opened)
		return 1 + (__sync_fetch_and_add(&pr->scanned, 1) & (max_connections - 1));
	if (opened - at > ring) { /* it has gone round: those are overwritten */
		__sync_val_compare_and_swap(&pr->examined, at, opened - ring);
		return 0;
	}
	if (__sync_val_compare_and_swap(&pr->examined, at, at + 1) != at)
		return 0;
	opening = word_get(&openings, at & (ring - 1));
	return opening ? *opening : 0;
}

static long give_way_step(__attribute__((unused)) __u32 step, struct give_way *g)
{
	struct pressure *pr = pressure_get();
	__u32 place, *deadline;
	struct conn *c;

	if (!pr)
		return 1;
	place = give_way_next(pr);
	deadline = deadline_get(place);
	c = conn_at(place);
	if (!c || !deadline || !*deadline)
		return 0;
	c->listed = false; /* before the look at its state: it may close just then, and comes again */
	if (conn_is_assured(c, place))
		return 0;
	if (!must_give_way(g, c->endpoint)) {
		conn_may_give_way(c, place);
		return 0;
	}
	if (conn_end(conn_ref(c, place, DIR_ORIGINAL)))
		return 0;
	__sync_fetch_and_add(&pr->gave_way, 1);
	g->done = true;
	return 1;
}

/* Not what the connections leave: another CPU may be about to open one, and has its place already. */
static __always_inline __u32 places_free(void)
{
	struct pressure *pr = pressure_get();
	__s32 n = pr ? *(volatile __u32 *)&pr->given - *(volatile __u32 *)&pr->taken : 0;

	return n > 0 ? n : 0;
}

/* 0: a fair share. */
static __always_inline __u32 quota_of(const struct endpoint *ep)
{
	struct settings *s = settings_get();

	return ep->max_connections || !s ? ep->max_connections : s->max_connections;
}

/* May this endpoint have one connection more? What must not even leave may not open one, either. */
__noinline int conn_admit(struct packet *p, __u32 endpoint)
{
	struct give_way g = { .endpoint = endpoint };
	struct endpoint *ep = bpf_map_lookup_elem(&endpoints, &endpoint);
	__u32 used = connections_of(endpoint), free = places_free();
	__u32 quota, limit;

	if (!p)
		return VERDICT_DROP;
	if (!ep)
		return drop(p, DROP_NO_ENDPOINT);
	if (p->ttl <= 1)
		return drop(p, DROP_TTL);
	if (is_frozen())
		return drop(p, DROP_GROWING);
	quota = quota_of(ep);
	limit = quota ? quota : FAIR_SHARE * free;
	if (free && used < limit)
		return VERDICT_CONTINUE;
	g.own_only = quota && used >= limit;
	bpf_loop(GIVE_WAY_STEPS, give_way_step, &g, 0);
	if (g.done)
		return VERDICT_CONTINUE;
	return drop(p, free ? DROP_QUOTA : DROP_TABLE_FULL);
}

#endif
