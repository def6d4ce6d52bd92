/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When connections end. A timer for each would be the plain way, but bpf_timer_init() allocates without waiting for any
 * lock from Linux 6.17 on (__bpf_async_init), and fails for every second connection when they come fast. So an original
 * has a place in `deadlines`, and one timer goes over these, all of them twice a second, for as long as there is a
 * connection. They are few bytes in a row, of which most say "not yet".
 */
#ifndef NSBPF_BPF_DEADLINE_H
#define NSBPF_BPF_DEADLINE_H

#define CLOCK_MONOTONIC 1

#define DEADLINE_TRIES 64  /* places are taken at random, and half of them are free */
#define DEADLINE_RETRIES 8 /* as often may it be put off while we take it away */
#define SWEEP_STEPS 1024
#define SWEEPS (NSBPF_MAX_DEADLINES / 8 / SWEEP_STEPS) /* that go over all of them */

_Static_assert(NSBPF_MAX_DEADLINES / 8 % SWEEP_STEPS == 0, "a sweep must end where the next round begins");

/* `place` counts from 1, 0 is none. */
static __always_inline __u32 *deadline_get(__u32 place)
{
	__u32 index = (place - 1) / 8;
	struct deadlines *d = bpf_map_lookup_elem(&deadlines, &index);

	if (!d || !place)
		return NULL;
	asm volatile("" : "+r"(d)); /* or the sum comes before the question whether there is anything to add to */
	return &d->at[(place - 1) % 8];
}

static __always_inline struct tuple *deadline_tuple(__u32 place)
{
	__u32 index = place - 1;

	return bpf_map_lookup_elem(&timed, &index);
}

/* `idle` from now, in units of clock_now(). */
static __always_inline __u32 deadline_in(__u32 idle)
{
	__u32 at = clock_now() + idle;

	return at ? at : 1;
}

static __always_inline void deadline_set(__u32 place, __u32 idle)
{
	__u32 *at = deadline_get(place);

	if (at)
		*at = deadline_in(idle);
}

/* The connection that has the place ends. False: it has not, or somebody else was faster. */
static __noinline bool deadline_end(__u32 place, const struct tuple *original)
{
	struct tuple *tuple = deadline_tuple(place);
	__u32 *at = deadline_get(place), was;

	if (!at || !tuple)
		return false;
	for (int i = 0; i < DEADLINE_RETRIES; i++) {
		was = *(volatile __u32 *)at;
		if (!was || !tuple_equal(tuple, original))
			return false;
		if (__sync_val_compare_and_swap(at, was, 0) == was)
			return true;
	}
	return false;
}

static __always_inline void deadline_give_back(__u32 place)
{
	__u32 *at = deadline_get(place);

	if (at)
		*at = 0;
}

/* A place for the original with this tuple; 0 if none was found. */
static __noinline __u32 deadline_take(const struct tuple *original, __u32 idle)
{
	__u32 when = deadline_in(idle);

	for (int i = 0; i < DEADLINE_TRIES; i++) {
		__u32 place = 1 + bpf_get_prandom_u32() % NSBPF_MAX_DEADLINES;
		__u32 *at = deadline_get(place);
		struct tuple *tuple = deadline_tuple(place);

		if (!at || !tuple || *at || __sync_val_compare_and_swap(at, 0, when))
			continue;
		*tuple = *original;
		return place;
	}
	return 0;
}

static __always_inline struct sweep *sweep_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&sweeps, &zero);
}

/* ns. Half a second for all of them, and as the timeouts count seconds. */
static __always_inline __u64 sweep_interval(void)
{
	return ((__u64)seconds(1) << NSBPF_CLOCK_SHIFT) / (2 * SWEEPS);
}

/* A connection has been opened: sees to it that somebody looks. */
static __always_inline void sweep_start(void)
{
	struct sweep *s = sweep_get();

	if (s && !s->running && !__sync_lock_test_and_set(&s->running, 1))
		bpf_timer_start(&s->timer, sweep_interval(), 0);
}

#endif
