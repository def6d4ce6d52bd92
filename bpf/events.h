/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Events for commands that listen: connections and drops where they happen, which is no established packet's way, and
 * packets from the entry point to the verdict. settings.listeners says whether anybody wants them.
 */
#ifndef NSBPF_BPF_EVENTS_H
#define NSBPF_BPF_EVENTS_H

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_LISTENERS);
	__type(key, __u32);
	__type(value, struct event_listener);
} listeners SEC(".maps");

/* Does anybody want packets? Asked for each of them, so it is where no lookup is needed: three instructions. */
volatile __u32 packets_heard SEC(".data.packets_heard");

struct listener_ring {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, NSBPF_RING);
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, NSBPF_LISTENERS);
	__type(key, __u32);
	__array(values, struct listener_ring);
} listener_rings SEC(".maps");

/* Where a CPU puts events together. A packet's is begun before its connection's. */
struct event_bench {
	struct connection_event connection;
	struct packet_event drop;
	struct packet_event packet;
	__u8 frame[NSBPF_CAPTURE]; /* of `packet` */
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct event_bench);
} event_benches SEC(".maps");

/* Not for an established packet's way. */
static __always_inline bool is_heard(__u32 kinds)
{
	struct settings *s = settings_get();

	return s && s->listeners & kinds;
}

static __always_inline struct event_bench *event_bench(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&event_benches, &zero);
}

static __always_inline void event_begin(struct event *event, enum event_kind kind)
{
	event->time = bpf_ktime_get_ns();
	event->kind = kind;
}

/* Waking somebody up takes longer than all else here: it is done for many at once. */
static __always_inline __u64 event_wakes(void *ring)
{
	return bpf_ringbuf_query(ring, BPF_RB_AVAIL_DATA) < NSBPF_RING_WAKE ? BPF_RB_NO_WAKEUP : BPF_RB_FORCE_WAKEUP;
}

/* To everybody who listens to its kind. */
static __always_inline void event_send(struct event *event, __u32 kind, __u64 size)
{
	for (__u32 i = 0; i < NSBPF_LISTENERS; i++) {
		__u32 key = i;
		struct event_listener *listener = bpf_map_lookup_elem(&listeners, &key);
		void *ring = bpf_map_lookup_elem(&listener_rings, &key);

		if (listener && ring && listener->kinds & LISTEN(kind) &&
		    bpf_ringbuf_output(ring, event, size, event_wakes(ring)))
			__sync_fetch_and_add(&listener->lost, 1);
	}
}

/* What has happened to the connection that has this place. */
__noinline int event_connection(__u32 place, __u32 kind)
{
	struct traffic *original = traffic_at(place, DIR_ORIGINAL), *reply = traffic_at(place, DIR_REPLY);
	struct event_bench *bench = event_bench();
	struct conn *c = conn_at(place);

	if (!c || !original || !reply || !bench)
		return 0;
	event_begin(&bench->connection.event, kind);
	bench->connection.conn = *c;
	bench->connection.traffic[DIR_ORIGINAL] = *original;
	bench->connection.traffic[DIR_REPLY] = *reply;
	event_send(&bench->connection.event, kind, sizeof(bench->connection));
	return 0;
}

static __always_inline void event_of_packet(struct packet_event *e, struct __sk_buff *skb, const struct packet *p,
					    enum event_program program, enum event_verdict verdict)
{
	e->ifindex = skb->ifindex;
	e->endpoint = p->endpoint;
	e->program = program;
	e->verdict = verdict;
	e->reason = verdict == EVENT_DROPPED ? p->reason : 0;
	e->tuple = p->tuple;
	if (p->kind != L4_ICMP_OTHER)
		return;
	/* An error: by now p->tuple may be that of the connection which it is about. */
	e->tuple.proto = p->ipv6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	e->tuple.sport = e->tuple.dport = 0;
}

/* The addresses of a frame that was kept. */
static __always_inline void event_addresses(const struct event_bench *bench, bool ipv6, struct tuple *tuple)
{
	const __u8 *ip = bench->frame + ETH_HLEN;

	if (ipv6) {
		__builtin_memcpy(&tuple->saddr, ip + offsetof(struct ipv6hdr, saddr), 2 * sizeof(tuple->saddr));
	} else {
		addr_set4(&tuple->saddr, *(__be32 *)(ip + offsetof(struct iphdr, saddr)));
		addr_set4(&tuple->daddr, *(__be32 *)(ip + offsetof(struct iphdr, daddr)));
	}
}

/* A packet is dropped. */
__noinline int event_drop(struct __sk_buff *skb, struct packet *p, __u32 program)
{
	struct event_bench *bench = event_bench();

	if (!p || !bench)
		return 0;
	event_begin(&bench->drop.event, EVENT_DROP);
	event_of_packet(&bench->drop, skb, p, program, EVENT_DROPPED);
	bench->drop.length = skb->len;
	event_send(&bench->drop.event, EVENT_DROP, sizeof(bench->drop));
	return 0;
}

/* A packet comes in, and somebody wants to see it: as it is now, before anything changes it. */
__noinline int event_packet_begin(struct __sk_buff *skb)
{
	struct event_bench *bench = event_bench();
	__u32 length = skb->len;

	if (!bench)
		return 0;
	event_begin(&bench->packet.event, EVENT_PACKET);
	bench->packet.length = length;
	bench->packet.captured = 0;
	if (length > NSBPF_CAPTURE)
		length = NSBPF_CAPTURE;
	if (length_is_within(&length, 1, NSBPF_CAPTURE) && !bpf_skb_load_bytes(skb, 0, bench->frame, length))
		bench->packet.captured = length;
	return 0;
}

/* The packet's own tuple, from its headers as they are now. */
static __always_inline void event_became(struct __sk_buff *skb, const struct packet *p, struct event_bench *bench)
{
	struct tuple *became = &bench->packet.became;
	__be32 addr4[2];
	__be16 id;

	*became = bench->packet.tuple;
	if (p->ipv6) {
		bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct ipv6hdr, saddr), became,
				   2 * sizeof(struct nsbpf_addr));
	} else if (!bpf_skb_load_bytes(skb, ETH_HLEN + offsetof(struct iphdr, saddr), addr4, sizeof(addr4))) {
		addr_set4(&became->saddr, addr4[0]);
		addr_set4(&became->daddr, addr4[1]);
	}
	if (p->kind == L4_PORTS)
		bpf_skb_load_bytes(skb, p->l4, &became->sport, 2 * sizeof(__be16));
	else if (packet_has_l4(p) && !bpf_skb_load_bytes(skb, p->l4 + offsetof(struct icmphdr, un.echo.id), &id, 2))
		*(p->kind == L4_ECHO ? &became->sport : &became->dport) = id;
}

/* What became of it. */
__noinline int event_packet_end(struct __sk_buff *skb, struct packet *p, __u32 program, __u32 verdict)
{
	struct event_bench *bench = event_bench();
	__u32 captured;

	if (!p || !bench)
		return 0;
	event_of_packet(&bench->packet, skb, p, program, verdict);
	if (p->kind == L4_ICMP_OTHER)
		event_addresses(bench, p->ipv6, &bench->packet.tuple);
	__builtin_memset(&bench->packet.became, 0, sizeof(bench->packet.became));
	if (verdict == EVENT_FORWARDED && p->l4)
		event_became(skb, p, bench);
	captured = bench->packet.captured;
	if (length_is_within(&captured, 0, NSBPF_CAPTURE))
		event_send(&bench->packet.event, EVENT_PACKET, sizeof(bench->packet) + captured);
	return 0;
}

#endif
