/* SPDX-License-Identifier: GPL-2.0-only */
/* Which port a new connection leaves by: that of its NAT binding, or one of its own. */
#ifndef NSBPF_BPF_PORT_SEARCH_H
#define NSBPF_BPF_PORT_SEARCH_H

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

/*
 * Where a NAT port is looked for. Well-known ports get another from the upper half of theirs (RFC 4787 REQ-3a), where
 * services are rare. Identifiers of ICMP queries have 16 bits to themselves: the host's own pings choose theirs from
 * the whole range as well.
 */
static __always_inline bool port_search_begin(struct port_search *s, __u8 proto, __u16 own)
{
	struct settings *settings = settings_get();

	if (!settings)
		return false;
	if (is_icmp(proto)) {
		s->ranges[0] = (struct port_range){ 1, 32767 }; /* 0 would not tell a query from an answer */
		s->ranges[1] = (struct port_range){ 32768, 65535 };
	} else if (own < 1024) {
		s->ranges[0] = (struct port_range){ 512, 1023 };
		s->ranges[1] = (struct port_range){ 1, 0 };
	} else {
		s->ranges[0] = settings->nat_ports[0];
		s->ranges[1] = settings->nat_ports[1];
	}
	s->count = port_count(s->ranges);
	s->start = s->count ? bpf_get_prandom_u32() % s->count : 0;
	return s->count;
}

/* How the socket lookup wants a tuple; its size says which family it is. */
static __always_inline __u32 socket_tuple(const struct tuple *from, struct bpf_sock_tuple *to)
{
	if (addr_is4(&from->daddr)) {
		to->ipv4.saddr = addr_get4(&from->saddr);
		to->ipv4.daddr = addr_get4(&from->daddr);
		to->ipv4.sport = from->sport;
		to->ipv4.dport = from->dport;
		return sizeof(to->ipv4);
	}
	__builtin_memcpy(to->ipv6.saddr, &from->saddr, sizeof(to->ipv6.saddr));
	__builtin_memcpy(to->ipv6.daddr, &from->daddr, sizeof(to->ipv6.daddr));
	to->ipv6.sport = from->sport;
	to->ipv6.dport = from->dport;
	return sizeof(to->ipv6);
}

/* Would a packet with this tuple go to a socket of the host, listening or connected? */
static __always_inline bool has_host_socket(struct __sk_buff *skb, const struct tuple *arriving)
{
	struct bpf_sock_tuple tuple = {};
	__u32 size = socket_tuple(arriving, &tuple);
	struct bpf_sock *sk;

	if (arriving->proto == IPPROTO_TCP)
		sk = bpf_skc_lookup_tcp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else if (arriving->proto == IPPROTO_UDP)
		sk = bpf_sk_lookup_udp(skb, &tuple, size, BPF_F_CURRENT_NETNS, 0);
	else
		return false;
	if (!sk)
		return false;
	bpf_sk_release(sk);
	return true;
}

/* Is this port of the host's address spoken for, by a mapping or by a socket that would get the answer? */
__noinline int port_is_the_hosts(struct __sk_buff *skb, __u32 port)
{
	struct workbench *w = workbench_get();

	if (!w)
		return true;
	tuple_reverse(&w->plan.xlat, &w->key);
	w->key.dport = bpf_htons(port);
	return mapping_lookup(w->key.proto, &w->key.daddr, w->key.dport) || has_host_socket(skb, &w->key);
}

struct port_step {
	struct __sk_buff *skb;
	int port; /* found */
};

static __always_inline __u16 port_of_step(const struct port_search *s, __u32 step)
{
	return port_at(s->ranges, (s->start + step) % (s->count ? s->count : 1));
}

/* So many ports are asked for one that has rested, before any free one will do: all of a small range, and in a large
 * one a few that have rested are found by that, too. */
#define PREFER_RESTED 4096

static __always_inline __u32 rested_steps(const struct port_search *s)
{
	return s->count < PREFER_RESTED ? s->count : PREFER_RESTED;
}

/* One step of the search for a port that nobody has. */
static long port_search_step(__u32 step, struct port_step *found)
{
	struct workbench *w = workbench_get();
	__u64 *word, old;
	__u16 port;

	if (!w)
		return 1;
	port = port_of_step(&w->search, step);
	word = nat_port(w->search.table, w->plan.xlat.proto, port);
	if (!word)
		return 1;
	old = *(volatile __u64 *)word;
	if (port_users(old) ||
	    (step < rested_steps(&w->search) && (__u32)old != w->search.owner && !port_has_rested(old)) ||
	    port_is_the_hosts(found->skb, port) || !port_claim(word, old, w->search.owner))
		return 0;
	found->port = port;
	return 1;
}

/*
 * May the binding keep the endpoint's own port? A well-known one never: the host's DHCP client listens on one, and is
 * not to be found by a lookup, as it is bound to its device.
 */
static __always_inline bool own_port_is_free(struct __sk_buff *skb, const struct workbench *w, __u16 own, __u64 word)
{
	if (is_icmp(w->plan.xlat.proto) || own < 1024 || !port_in_ranges(w->search.ranges, own))
		return false;
	return !port_users(word) && ((__u32)word == w->search.owner || port_has_rested(word)) &&
	       !port_is_the_hosts(skb, own);
}

/* Is there any port left, and has the endpoint no more than its share of them? See FAIR_SHARE. */
static __always_inline bool port_may_be_searched(const struct workbench *w, __u16 own)
{
	__u32 *bound = ports_bound(w->search.table, w->plan.xlat.proto), endpoint = w->plan.endpoint;
	struct usage *u = bpf_map_lookup_elem(&usage, &endpoint);
	__u32 free;

	if (!bound || !u)
		return false;
	if (own < 1024 && !is_icmp(w->plan.xlat.proto))
		return true;
	free = *bound < w->search.count ? w->search.count - *bound : 0;
	return u->ports < FAIR_SHARE * free;
}

static __always_inline bool binding_take(const struct workbench *w, __u32 port)
{
	return port_take(w->search.table, w->plan.xlat.proto, port, w->search.owner);
}

/* A NAT port is found for the first connection of a binding: makes it known. Another CPU may have been faster. */
static __always_inline __u16 binding_make(struct workbench *w, __u16 port)
{
	__u32 table = w->search.table, faster;
	__u8 proto = w->plan.xlat.proto;

	w->search.fresh = true;
	ports_bound_add(table, proto, port, 1);
	usage_add(w->binding.endpoint, 0, 1);
	faster = w->binding.port == port ? 0 : binding_show(&w->binding, port) & 0xffff;
	if (!faster)
		return port;
	if (binding_take(w, faster)) {
		w->search.fresh = false;
		port_release(table, proto, port);
		return faster;
	}
	/* That one has ended already, and left its word in a race of its own if it is still there. */
	binding_hide(&w->binding, faster);
	binding_show(&w->binding, port);
	return port;
}

/* The NAT port of the endpoint's port, with a share in it for one connection: the port, or -ENOENT. */
static __noinline int binding_get(struct __sk_buff *skb, struct workbench *w, __u16 own)
{
	struct port_step found = { .skb = skb, .port = -ENOENT };
	__u64 *word = nat_port(w->search.table, w->plan.xlat.proto, own), old;
	__u32 port;

	binding_key_of(w->search.owner, w->search.table, w->plan.xlat.proto, &w->binding);
	if (!word)
		return -ENOENT;
	if (binding_take(w, own))
		return own;
	port = binding_lookup(&w->binding) & 0xffff;
	if (port && binding_take(w, port))
		return port;
	old = *(volatile __u64 *)word;
	if (own_port_is_free(skb, w, own, old) && port_claim(word, old, w->search.owner))
		return binding_make(w, own);
	if (binding_take(w, own)) /* another CPU was faster */
		return own;
	if (port_may_be_searched(w, own))
		bpf_loop(rested_steps(&w->search) + w->search.count, port_search_step, &found, 0);
	return found.port < 0 ? found.port : binding_make(w, found.port);
}

/* Is the connection over whose answers come to this port of ours, so that it can give way to the endpoint? */
static __always_inline bool reply_gives_way(__u64 ref, __u32 endpoint)
{
	struct conn *c = conn_get(ref);

	return c && ref_dir(ref) == DIR_REPLY && !conn_is_assured(c, ref_place(ref)) &&
	       gives_way_to(c->endpoint, endpoint);
}

/* So many ports are asked for one that is free, before one will do that a connection has which is over. */
#define OVERLAP_PREFER_FREE 16

/* One step of the search for a port that no connection to this destination has, or needs. */
static long overlap_search_step(__u32 step, struct port_step *found)
{
	struct workbench *w = workbench_get();
	__u16 port;
	__u64 ref;

	if (!w)
		return 1;
	port = port_of_step(&w->search, step);
	tuple_reverse(&w->plan.xlat, &w->key);
	w->key.dport = bpf_htons(port);
	ref = conn_lookup(&w->key);
	if (ref && (step < OVERLAP_PREFER_FREE || !reply_gives_way(ref, w->plan.endpoint)))
		return 0;
	if (port_is_the_hosts(found->skb, port))
		return 0;
	found->port = port;
	return 1;
}

/*
 * To search all ports takes milliseconds. An endpoint that has done so in vain, which takes it a connection on each
 * port to one destination, has to wait a second for its next search.
 */
static __always_inline __u32 *vain_search(const struct workbench *w)
{
	__u32 endpoint = w->plan.endpoint;

	return bpf_map_lookup_elem(&vain_searches, &endpoint);
}

static __always_inline bool may_search(const __u32 *vain)
{
	return !*vain || clock_now() - *vain >= NSBPF_CLOCK_HZ;
}

/*
 * Gives plan->xlat a source port that no connection to this destination has, whoever else uses it, and claims it. What
 * is left when all ports are bound; and for addresses that have no port table.
 */
static __noinline enum verdict port_overlap(struct __sk_buff *skb, struct packet *p, struct workbench *w)
{
	struct port_step found = { .skb = skb, .port = -ENOENT };
	struct pressure *pr = pressure_get();
	__u32 *vain = vain_search(w);
	__u64 ref;

	if (!pr || !vain || !may_search(vain))
		return drop(p, DROP_NO_PORT);
	bpf_loop(w->search.count + OVERLAP_PREFER_FREE, overlap_search_step, &found, 0);
	if (found.port < 0) {
		*vain = deadline_in(0);
		return drop(p, DROP_NO_PORT);
	}
	w->plan.xlat.sport = bpf_htons(found.port);
	tuple_reverse(&w->plan.xlat, &w->key);
	ref = conn_lookup(&w->key);
	if (ref && reply_gives_way(ref, w->plan.endpoint) && !conn_end(ref))
		__sync_fetch_and_add(&pr->gave_way, 1);
	return conn_claim(&w->plan) ? drop(p, DROP_NO_PORT) : VERDICT_CONTINUE;
}

#endif
