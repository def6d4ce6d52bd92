/* SPDX-License-Identifier: GPL-2.0-only */
/* Run by user space (BPF_PROG_TEST_RUN): what can be asked, made or ended only from here. */
#ifndef NSBPF_BPF_LOADER_H
#define NSBPF_BPF_LOADER_H

/* An unknown flag is refused before anything is looked up. */
static __always_inline bool fib_takes(struct __sk_buff *skb, __u32 flag)
{
	struct bpf_fib_lookup fib = { .family = AF_INET, .ifindex = 1 };

	return bpf_fib_lookup(skb, &fib, sizeof(fib), flag) != -EINVAL;
}

/* A flag that the helper does not know is refused as well; one that it knows finds a checksum to change by nothing. */
static __always_inline bool csum_takes(struct __sk_buff *skb, __u64 flag)
{
	return !bpf_l4_csum_replace(skb, ETH_HLEN, 0, 0, BPF_F_PSEUDO_HDR | flag);
}

SEC("tc")
int probe_helpers(struct __sk_buff *skb)
{
	return (csum_takes(skb, BPF_F_IPV6) ? FEATURE_CSUM_IPV6 : 0) |
	       (fib_takes(skb, BPF_FIB_LOOKUP_SRC) ? FEATURE_FIB_SRC : 0) |
	       (fib_takes(skb, BPF_FIB_LOOKUP_SKIP_NEIGH) ? FEATURE_FIB_SKIP_NEIGH : 0);
}

/* 0, or an errno: ENOMEM passes, see deadline.h. */
SEC("tc")
int make_sweep(__attribute__((unused)) struct __sk_buff *skb)
{
	struct sweep *s = sweep_get();
	int err;

	if (!s)
		return EINVAL;
	err = bpf_timer_init(&s->timer, &sweeps, CLOCK_MONOTONIC);
	if (err && err != -EBUSY)
		return -err;
	err = bpf_timer_set_callback(&s->timer, sweep_run);
	if (!err && connections_of(0)) /* taken over from a smaller table */
		sweep_start();
	return -err;
}

/* So many places, or NAT ports, from the first on: behind an empty Ethernet header. */
struct walk {
	__u32 first, count;
	__u32 refused;
};

static __always_inline bool walk_begin(struct __sk_buff *skb, struct walk *w)
{
	w->refused = 0;
	return !bpf_skb_load_bytes(skb, ETH_HLEN, w, offsetof(struct walk, refused));
}

static long index_connection(__u32 step, struct walk *w)
{
	__u32 place = w->first + step, *deadline = deadline_get(place);

	if (deadline && *deadline && (conn_publish(place, DIR_REPLY) || conn_publish(place, DIR_ORIGINAL)))
		w->refused++;
	return 0;
}

/* Makes connections known that user space has put into their places. How many could not be, for want of room. */
SEC("tc")
int index_connections(struct __sk_buff *skb)
{
	struct walk w;

	if (walk_begin(skb, &w))
		bpf_loop(w.count, index_connection, &w, 0);
	return w.refused;
}

static long index_binding(__u32 step, const struct walk *w)
{
	__u32 index = w->first + step, table = index >> 16;
	__u64 *word = bpf_map_lookup_elem(&nat_ports, &index);
	struct binding_key key = { .address = table / NAT_PROTOS, .proto = table % NAT_PROTOS };
	__u16 port = index;

	if (!word || !port_users(*word))
		return 0;
	key.endpoint = *word >> NAT_ENDPOINT_SHIFT;
	key.port = *word;
	if (key.port != port)
		binding_show(&key, port);
	return 0;
}

/* The same for the bindings that `nat_ports` knows of. */
SEC("tc")
int index_bindings(struct __sk_buff *skb)
{
	struct walk w;

	if (walk_begin(skb, &w))
		bpf_loop(w.count, index_binding, &w, 0);
	return 0;
}

/* The connection whose original has the tuple that follows an empty Ethernet header; 0 if there is none. */
static __always_inline __u64 conn_of_frame(struct __sk_buff *skb)
{
	struct tuple key;
	__u64 ref;

	if (bpf_skb_load_bytes(skb, ETH_HLEN, &key, sizeof(key)))
		return 0;
	ref = conn_lookup(&key);
	return ref_dir(ref) == DIR_ORIGINAL ? ref : 0;
}

/* Ends a connection: with its shares in NAT ports and its place in the count, as its timer would. 0, or ENOENT. */
SEC("tc")
int end_connection(struct __sk_buff *skb)
{
	__u64 ref = conn_of_frame(skb);

	return ref ? -conn_end(ref) : ENOENT;
}

/* The times have changed: a connection is looked at again, how long there is to go. 0, or ENOENT. */
SEC("tc")
int review_connection(struct __sk_buff *skb)
{
	__u64 ref = conn_of_frame(skb);

	if (!ref)
		return ENOENT;
	deadline_change(ref_place(ref), 0);
	return 0;
}

#endif
