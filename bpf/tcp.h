/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP states. Each direction notes what it has shown; the state follows from both, see conn_state().
 * Sequence numbers are looked at for one question only: is this RST the peer's, or somebody's guess?
 */
#ifndef NSBPF_BPF_TCP_H
#define NSBPF_BPF_TCP_H

#define TCP_OPTION_END 0
#define TCP_OPTION_NOP 1
#define TCP_OPTION_WINDOW_SCALE 3
#define TCP_OPTIONS_MAX 40
#define TCP_SCALE_MAX 14 /* RFC 7323 2.3 */
#define TCP_SCALE_SHIFT 0xf
#define TCP_SCALE_OFFERED 0x10 /* in traffic.scale: the SYN had the option */

static __always_inline bool tcp_after(__u32 a, __u32 b)
{
	return (__s32)(a - b) > 0;
}

struct option_walk {
	struct __sk_buff *skb;
	__u32 at, end;
	__u8 scale;
};

static long option_step(__attribute__((unused)) __u32 step, struct option_walk *w)
{
	__u8 option[3] = {};

	if (w->at >= w->end || bpf_skb_load_bytes(w->skb, w->at, option, w->at + 3 <= w->end ? 3 : 1) ||
	    option[0] == TCP_OPTION_END)
		return 1;
	if (option[0] == TCP_OPTION_WINDOW_SCALE) {
		w->scale = TCP_SCALE_OFFERED | (option[2] < TCP_SCALE_MAX ? option[2] : TCP_SCALE_MAX);
		return 1;
	}
	if (option[0] != TCP_OPTION_NOP && option[1] < 2)
		return 1;
	w->at += option[0] == TCP_OPTION_NOP ? 1 : option[1];
	return 0;
}

/* The shift of the windows to come, by a SYN's options, with TCP_SCALE_OFFERED; 0 without. */
static __noinline __u8 tcp_window_scale(struct __sk_buff *skb, const struct packet *p)
{
	__u32 l4 = p->l4;
	struct option_walk w = { .skb = skb, .at = l4 + sizeof(struct tcphdr), .end = l4 + p->l4_length };

	bpf_loop(TCP_OPTIONS_MAX, option_step, &w, 0);
	return w.scale;
}

/*
 * RFC 5961 3.2, seen from the way: a RST ends the connection only inside the window that its receiver has offered.
 * Before the receiver has acknowledged anything, the answer to its SYN, there is no window to tell.
 */
static __always_inline bool tcp_reset_counts(const struct tcphdr *tcp, const struct traffic *receiver)
{
	__u32 seq = bpf_ntohl(tcp->seq);

	return !(receiver->tcp & TCP_SEEN_ACK) || (!tcp_after(receiver->acked, seq) && !tcp_after(seq, receiver->edge));
}

/* A closed connection's tuple may be used again at once: connection and NAT stay, its state starts anew. */
static __always_inline bool tcp_reopens(const struct packet *p, enum conn_dir dir, enum conn_state state)
{
	return (p->tcp_flags & (TCP_SYN | TCP_ACK)) == TCP_SYN && dir == DIR_ORIGINAL &&
	       (state == CONN_TCP_CLOSING || state == CONN_TCP_RESET);
}

/* RFC 7857 2.2: data takes a reset back; and whoever still talks was not the one that sent it. */
static __always_inline bool tcp_revives(const struct packet *p, const struct traffic *t)
{
	return t->tcp & TCP_SEEN_RST || p->length > p->l4 - ETH_HLEN + p->l4_length;
}

static __always_inline __u8 tcp_seen(const struct packet *p)
{
	return (p->tcp_flags & TCP_SYN ? TCP_SEEN_SYN : 0) | (p->tcp_flags & TCP_ACK ? TCP_SEEN_ACK : 0) |
	       (p->tcp_flags & TCP_FIN ? TCP_SEEN_FIN : 0);
}

/* What of this direction's windows has to be known before the first of them counts. */
static __always_inline void tcp_window_begin(struct __sk_buff *skb, const struct packet *p, const struct tcphdr *tcp,
					     struct traffic *t, struct traffic *other)
{
	__u32 ack = bpf_ntohl(tcp->ack_seq), window = bpf_ntohs(tcp->window);

	if (p->tcp_flags & TCP_ACK && !(t->tcp & TCP_SEEN_ACK)) {
		t->acked = ack;
		t->edge = ack + window; /* a SYN's is never scaled, and one packet later there is another */
	}
	if (p->tcp_flags & TCP_SYN && !(t->tcp & TCP_SEEN_ACK)) {
		t->scale = tcp_window_scale(skb, p);
		/* Both have to offer it, or neither scales (RFC 7323 2.2). */
		if (other->tcp & TCP_SEEN_SYN && !(t->scale & other->scale & TCP_SCALE_OFFERED))
			t->scale = other->scale = 0;
	} else if (!(t->tcp & TCP_SEEN_SYN)) {
		t->scale = TCP_SCALE_MAX; /* adopted: nobody knows */
	}
}

static __always_inline void tcp_show(struct packet *p, struct traffic *t, struct traffic *other, bool reset)
{
	if (reset) {
		t->tcp |= TCP_SEEN_RST;
		other->tcp |= TCP_PEER_RST;
		return;
	}
	if (t->tcp & (TCP_SEEN_RST | TCP_PEER_RST) && tcp_revives(p, t)) {
		t->tcp &= ~(TCP_SEEN_RST | TCP_PEER_RST);
		other->tcp &= ~(TCP_SEEN_RST | TCP_PEER_RST);
	}
	t->tcp |= tcp_seen(p);
}

/* Not static: see from_endpoint_new(). */
__noinline int tcp_transition(struct __sk_buff *skb, struct packet *p, __u64 ref)
{
	struct traffic *t = traffic_at(ref_place(ref), ref_dir(ref));
	struct traffic *other = traffic_at(ref_place(ref), !ref_dir(ref));
	struct conn *c = conn_get(ref);
	enum conn_state before, after;
	struct tcphdr *tcp;
	bool reset;

	if (!p || !c || !t || !other)
		return 0;
	tcp = packet_l4(skb, p);
	reset = p->tcp_flags & TCP_RST;
	if ((void *)(tcp + 1) > packet_end(skb))
		return 0;
	if (reset && !tcp_reset_counts(tcp, other))
		return 0;
	before = conn_state(IPPROTO_TCP, t->tcp, other->tcp);
	if (tcp_reopens(p, ref_dir(ref), before))
		t->tcp = other->tcp = 0;
	if (!reset)
		tcp_window_begin(skb, p, tcp, t, other);
	tcp_show(p, t, other, reset);
	after = conn_state(IPPROTO_TCP, t->tcp, other->tcp);
	if (after != before && is_heard(LISTEN(EVENT_UPDATE)))
		event_connection(ref_place(ref), EVENT_UPDATE);

	/* The deadline may be hours away: a state that ends sooner has to say so. */
	if (after == before || after == CONN_TCP_ESTABLISHED)
		return 0;
	deadline_change(ref_place(ref), timeout(after));
	if (after != CONN_TCP_FIN)
		conn_may_give_way(c, ref_place(ref));
	return 0;
}

/* Established traffic has nothing to tell but its window: only what may change the state goes on to tcp_transition().
 */
static __always_inline void tcp_track(struct __sk_buff *skb, struct packet *p, struct traffic *t, __u64 ref)
{
	struct tcphdr *tcp = packet_l4(skb, p);
	__u32 ack, edge;

	if (p->tuple.proto != IPPROTO_TCP || p->kind != L4_PORTS)
		return;
	if ((p->tcp_flags & (TCP_SYN | TCP_FIN | TCP_RST)) || !(t->tcp & TCP_SEEN_ACK) ||
	    (t->tcp & (TCP_SEEN_RST | TCP_PEER_RST)))
		tcp_transition(skb, p, ref);
	tcp = packet_l4(skb, p);
	if ((void *)(tcp + 1) > packet_end(skb) || (p->tcp_flags & (TCP_SYN | TCP_RST | TCP_ACK)) != TCP_ACK)
		return;
	ack = bpf_ntohl(tcp->ack_seq);
	edge = ack + ((__u32)bpf_ntohs(tcp->window) << (t->scale & TCP_SCALE_SHIFT));
	if (tcp_after(ack, t->acked))
		t->acked = ack;
	if (tcp_after(edge, t->edge))
		t->edge = edge;
}

#endif
