/* SPDX-License-Identifier: GPL-2.0-only */
/* What user space may change while the programs run, and the clock. */
#ifndef NSBPF_BPF_SETTINGS_H
#define NSBPF_BPF_SETTINGS_H

static __always_inline struct settings *settings_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

static __always_inline struct pressure *pressure_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&pressure, &zero);
}

/* Is user space about to replace the table of connections? Then none begins or ends in this one. */
static __always_inline bool is_frozen(void)
{
	struct pressure *pr = pressure_get();

	return pr && *(volatile __u32 *)&pr->frozen;
}

/* Coarse: it costs a load, not a look at the hardware. Unit: see NSBPF_CLOCK_SHIFT. */
static __always_inline __u32 clock_now(void)
{
	return bpf_ktime_get_coarse_ns() >> NSBPF_CLOCK_SHIFT;
}

/* Time since `then`. Another CPU's clock may have been read a little later than ours: that is no time at all. */
static __always_inline __u32 clock_age(__u32 then, __u32 now)
{
	__s32 age = now - then;

	return age > 0 ? age : 0;
}

/* Seconds as the timeouts count them, in units of clock_now(). */
static __always_inline __u32 seconds(__u32 count)
{
	struct settings *s = settings_get();

	return s ? count * s->second : 0;
}

/* In units of clock_now(). `which` is an enum timeout, or an enum conn_state. */
static __always_inline __u32 timeout(__u32 which)
{
	struct settings *s = settings_get();

	return s && which < TIMEOUTS ? s->timeouts[which] * s->second : 0;
}

#endif
