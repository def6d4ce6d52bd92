/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * When connections end. A timer for each would be the plain way, but bpf_timer_init() allocates without waiting for any
 * lock from Linux 6.17 on (__bpf_async_init), and fails for every second connection when they come fast. So each place
 * has a word in `deadlines`, and one timer goes over these, all of them twice a second, for as long as there is a
 * connection. They are few bytes in a row, of which most say "not yet".
 */
#ifndef NSBPF_BPF_DEADLINE_H
#define NSBPF_BPF_DEADLINE_H

#define CLOCK_MONOTONIC 1

#define DEADLINE_RETRIES 8 /* as often may it be put off while we take it away, or change it */
#define SWEEP_STEPS 1024
#define SWEEPS (max_connections / NSBPF_BLOCK_WORDS / SWEEP_STEPS) /* that go over all of them */

_Static_assert(NSBPF_MIN_CONNECTIONS / NSBPF_BLOCK_WORDS % SWEEP_STEPS == 0,
	       "a sweep must end where the next round begins");

static __always_inline __u32 *deadline_get(__u32 place)
{
	return place ? word_get(&deadlines, place - 1) : NULL;
}

/* `idle` from now, in units of clock_now(). */
static __always_inline __u32 deadline_in(__u32 idle)
{
	__u32 at = clock_now() + idle;

	return at ? at : 1;
}

/* A connection begins. */
static __always_inline void deadline_begin(__u32 place, __u32 idle)
{
	__u32 *at = deadline_get(place);

	if (at)
		*at = deadline_in(idle);
}

/* If it has not ended: a place that is free stays free. */
static __always_inline void deadline_change(__u32 place, __u32 idle)
{
	__u32 *at = deadline_get(place), was;

	if (!at)
		return;
	for (int i = 0; i < DEADLINE_RETRIES; i++) {
		was = *(volatile __u32 *)at;
		if (!was || __sync_val_compare_and_swap(at, was, deadline_in(idle)) == was)
			return;
	}
}

/* The connection that `ref` names ends. False: it has, or somebody else was faster. */
static __always_inline bool deadline_end(__u64 ref, const struct conn *c)
{
	__u32 *at = deadline_get(ref_place(ref)), was;

	if (!at)
		return false;
	for (int i = 0; i < DEADLINE_RETRIES; i++) {
		was = *(volatile __u32 *)at;
		if (!was || *(volatile __u32 *)&c->tags[ref_dir(ref)] != ref_tag(ref))
			return false;
		if (__sync_val_compare_and_swap(at, was, 0) == was)
			return true;
	}
	return false;
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
