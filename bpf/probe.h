/* SPDX-License-Identifier: GPL-2.0-only */
/* Run once by the loader (BPF_PROG_TEST_RUN): what of the helpers this kernel has. */
#ifndef NSBPF_BPF_PROBE_H
#define NSBPF_BPF_PROBE_H

#define EINVAL 22

/* An unknown flag is refused before anything is looked up. */
static __always_inline bool fib_takes(struct __sk_buff *skb, __u32 flag)
{
	struct bpf_fib_lookup fib = { .family = AF_INET, .ifindex = 1 };

	return bpf_fib_lookup(skb, &fib, sizeof(fib), flag) != -EINVAL;
}

SEC("tc")
int probe_fib(struct __sk_buff *skb)
{
	return (fib_takes(skb, BPF_FIB_LOOKUP_SRC) ? FEATURE_FIB_SRC : 0) |
	       (fib_takes(skb, BPF_FIB_LOOKUP_SKIP_NEIGH) ? FEATURE_FIB_SKIP_NEIGH : 0);
}

#endif
