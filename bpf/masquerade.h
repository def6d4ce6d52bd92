/* SPDX-License-Identifier: GPL-2.0-only */
/* Source translation: which port of the host's address a new connection gets. */
#ifndef NSBPF_BPF_MASQUERADE_H
#define NSBPF_BPF_MASQUERADE_H

struct port_search {
	struct __sk_buff *skb;
	const struct tuple *original;
	struct conn_plan *plan;
	struct port_range ranges[2];
	__u16 wanted; /* tried first, if it is not 0 */
	__u32 start;  /* random, so that ports can't be guessed (RFC 6056) */
	__u32 count;  /* of both ranges together */
	int result;
};

/* The index-th port of the two ranges, which together are what the host's own sockets leave free. */
static __always_inline __u16 port_at(const struct port_range ranges[2], __u32 index)
{
	__u32 below = ranges[0].last - ranges[0].first + 1;

	return index < below ? ranges[0].first + index : ranges[1].first + index - below;
}

static __always_inline __u32 port_count(const struct port_range ranges[2])
{
	return ranges[0].last - ranges[0].first + 1 + ranges[1].last - ranges[1].first + 1;
}

static __always_inline bool port_in_ranges(const struct port_range ranges[2], __u16 port)
{
	return (port >= ranges[0].first && port <= ranges[0].last) ||
	       (port >= ranges[1].first && port <= ranges[1].last);
}

/* Would the answer to this port go to a socket of the host, listening or connected? */
static __always_inline bool port_has_host_socket(struct __sk_buff *skb, const struct tuple *answer)
{
	struct bpf_sock_tuple tuple = {};
	struct bpf_sock *sk;

	tuple.ipv4.saddr = addr_get4(&answer->saddr);
	tuple.ipv4.daddr = addr_get4(&answer->daddr);
	tuple.ipv4.sport = answer->sport;
	tuple.ipv4.dport = answer->dport;
	if (answer->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else if (answer->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* Takes the port, if it is nobody's: 0, -EEXIST or -E2BIG. */
static __always_inline int port_try(struct port_search *s, __u16 port)
{
	struct tuple answer;

	s->plan->xlat.sport = bpf_htons(port);
	tuple_reverse(&s->plan->xlat, &answer);
	if (conn_lookup(&answer) || mapping_lookup(answer.proto, &answer.daddr, answer.dport) ||
	    port_has_host_socket(s->skb, &answer))
		return -EEXIST;
	return conn_insert_reply(s->original, s->plan);
}

static long port_search_step(__u32 step, struct port_search *s)
{
	__u32 index = s->start + step;

	if (index >= s->count)
		index -= s->count;
	s->result = port_try(s, !step && s->wanted ? s->wanted : port_at(s->ranges, index));
	return s->result != -EEXIST;
}

/*
 * Gives plan->xlat a source port and inserts the reply entry under it: the port of the original if it is in the range
 * and free, else the first free one from a random place on, once around. Identifiers of ICMP queries have 16 bits to
 * themselves and are always random: the host's own pings choose theirs from the whole range as well.
 */
static __always_inline enum verdict port_allocate(struct __sk_buff *skb, struct packet *p, struct conn_plan *plan)
{
	struct settings *settings = settings_get();
	struct port_search search = { .skb = skb, .original = &p->tuple, .plan = plan, .result = -EEXIST };
	__u16 port = bpf_ntohs(p->tuple.sport);

	if (!settings)
		return drop(p, DROP_NO_PORT);
	if (p->tuple.proto == IPPROTO_ICMP) {
		search.ranges[0].last = 32767;
		search.ranges[1].first = 32768;
		search.ranges[1].last = 65535;
	} else {
		search.ranges[0] = settings->nat_ports[0];
		search.ranges[1] = settings->nat_ports[1];
		if (port_in_ranges(search.ranges, port))
			search.wanted = port;
	}
	search.count = port_count(search.ranges);
	if (!search.count)
		return drop(p, DROP_NO_PORT);
	search.start = bpf_get_prandom_u32() % search.count;
	/* One more: the first step may have been spent on the wanted port. */
	bpf_loop(search.count + 1, port_search_step, &search, 0);
	if (search.result == -EEXIST)
		return drop(p, DROP_NO_PORT);
	if (search.result)
		return drop(p, DROP_TABLE_FULL);
	return VERDICT_CONTINUE;
}

/* The address that packets leaving by this uplink get. */
static __always_inline bool masquerade_address(const struct route *route, struct nsbpf_addr *addr)
{
	struct uplink *uplink = bpf_map_lookup_elem(&uplinks, &route->oif);

	if (addr_is4(&route->prefsrc) && addr_get4(&route->prefsrc)) {
		*addr = route->prefsrc;
		return true;
	}
	if (!uplink || !uplink->addr4)
		return false;
	addr_set4(addr, uplink->addr4);
	return true;
}

#endif
