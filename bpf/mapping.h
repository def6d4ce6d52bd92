/* SPDX-License-Identifier: GPL-2.0-only */
/* Exposed ports: which endpoint a host port leads to. Asked for a connection's first packet only. */
#ifndef NSBPF_BPF_MAPPING_H
#define NSBPF_BPF_MAPPING_H

#define MAPPING_SEARCH_STEPS 15 /* halves NSBPF_MAX_MAPPINGS down to nothing */

_Static_assert(NSBPF_MAX_MAPPINGS < 1 << MAPPING_SEARCH_STEPS, "the binary search must reach every entry");

struct mapping_search {
	const struct nsbpf_addr *addr;
	__u32 base;
	__u32 low, high; /* the answer is the entry before `low`, once they meet */
	__u16 port;
	__u8 proto;
};

static long mapping_search_step(__attribute__((unused)) __u32 step, struct mapping_search *s)
{
	__u32 middle = (s->low + s->high) / 2, index = s->base + middle;
	struct mapping *m;

	if (s->low >= s->high)
		return 1;
	m = bpf_map_lookup_elem(&mappings, &index);
	if (!m)
		return 1;
	if (mapping_compare(m, s->proto, s->addr, s->port) <= 0)
		s->low = middle + 1;
	else
		s->high = middle;
	return 0;
}

/*
 * One more than the index of the mapping for exactly this host address (all zero: for "any"), or 0. `port` in host
 * order. Not static: the verifier looks at it once, and not at each place that calls it.
 */
__noinline __u32 mapping_search(const struct nsbpf_addr *addr, __u8 proto, __u16 port)
{
	struct mapping_search search = { .port = port, .proto = proto };
	struct settings *s = settings_get();
	struct mapping *m;
	__u32 table, index;

	if (!s || !addr)
		return 0;
	search.addr = addr;
	table = *(volatile __u32 *)&s->mappings;
	search.base = table & NSBPF_MAPPINGS_HALF ? NSBPF_MAX_MAPPINGS : 0;
	search.high = table & NSBPF_MAPPINGS_COUNT;
	if (!search.high)
		return 0;
	bpf_loop(MAPPING_SEARCH_STEPS, mapping_search_step, &search, 0);
	if (!search.low)
		return 0;
	index = search.base + search.low - 1;
	m = bpf_map_lookup_elem(&mappings, &index);
	if (!m || m->proto != proto || port > m->last || !addr_equal(&m->addr, addr))
		return 0;
	return index + 1;
}

static __always_inline struct mapping *mapping_find(__u8 proto, const struct nsbpf_addr *addr, __u16 port)
{
	__u32 index = mapping_search(addr, proto, port) - 1;

	return bpf_map_lookup_elem(&mappings, &index);
}

/* The mapping that serves this host address and port: its own before one for any address. */
static __always_inline struct mapping *mapping_lookup(__u8 proto, const struct nsbpf_addr *addr, __be16 port)
{
	struct nsbpf_addr any = {};
	struct mapping *m;

	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return NULL;
	m = mapping_find(proto, addr, bpf_ntohs(port));
	return m ? m : mapping_find(proto, &any, bpf_ntohs(port));
}

static __always_inline __be16 mapping_target_port(const struct mapping *m, __be16 port)
{
	return bpf_htons(bpf_ntohs(port) - m->first + m->target);
}

static __always_inline bool source_contains(const struct source *source, const struct nsbpf_addr *addr)
{
	__s32 bits = source->prefix;

	if (addr_is4(&source->addr) != addr_is4(addr))
		return false; /* ::/0 means every IPv6 address */
	for (int i = 0; i < 4; i++) {
		__be32 mask = bits >= 32 ? ~0U : bits > 0 ? bpf_htonl(~0U << (32 - bits)) : 0;

		if ((source->addr.words[i] ^ addr->words[i]) & mask)
			return false;
		bits -= 32;
	}
	return true;
}

static __always_inline bool mapping_allows(const struct mapping *m, const struct nsbpf_addr *source)
{
	if (!m->nsources)
		return true;
	for (int i = 0; i < NSBPF_MAX_SOURCES; i++)
		if (i < m->nsources && source_contains(&m->sources[i], source))
			return true;
	return false;
}

/* May this packet open a connection through an exposed port? Anything else there is the host's to answer. */
static __always_inline bool mapping_wants(const struct packet *p)
{
	if (p->kind != L4_PORTS)
		return false;
	return p->tuple.proto == IPPROTO_UDP || (p->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) == TCP_SYN;
}

#endif
