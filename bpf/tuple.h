/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses and tuples. */
#ifndef NSBPF_BPF_TUPLE_H
#define NSBPF_BPF_TUPLE_H

static __always_inline void addr_set4(struct nsbpf_addr *addr, __be32 addr4)
{
	addr->words[0] = 0;
	addr->words[1] = 0;
	addr->words[2] = bpf_htonl(0xffff);
	addr->words[3] = addr4;
}

/* 0.0.0.0, or :: */
static __always_inline void addr_set_any(struct nsbpf_addr *addr, bool ipv6)
{
	addr->words[0] = 0;
	addr->words[1] = 0;
	addr->words[2] = ipv6 ? 0 : bpf_htonl(0xffff);
	addr->words[3] = 0;
}

static __always_inline __be32 addr_get4(const struct nsbpf_addr *addr)
{
	return addr->words[3];
}

static __always_inline bool addr_is4(const struct nsbpf_addr *addr)
{
	return !(addr->words[0] | addr->words[1] | (addr->words[2] ^ bpf_htonl(0xffff)));
}

static __always_inline bool addr_is_any(const struct nsbpf_addr *addr)
{
	return !(addr->words[0] | addr->words[1] | addr->words[2] | addr->words[3]);
}

static __always_inline bool addr_is_loopback(const struct nsbpf_addr *addr)
{
	if (addr_is4(addr))
		return addr->bytes[12] == 127;
	return !addr->words[0] && !addr->words[1] && !addr->words[2] && addr->words[3] == bpf_htonl(1);
}

/* fe80::/10 */
static __always_inline bool addr_is_link_local(const struct nsbpf_addr *addr)
{
	return (addr->words[0] & bpf_htonl(0xffc00000)) == bpf_htonl(0xfe800000);
}

/* 224.0.0.0/4 and 255.255.255.255, ff00::/8 */
static __always_inline bool addr_is_multicast(const struct nsbpf_addr *addr)
{
	return addr_is4(addr) ? addr->bytes[12] >> 4 == 14 || !~addr_get4(addr) : addr->bytes[0] == 0xff;
}

/* Without a branch for each word: of those the verifier would have to follow all. */
static __always_inline bool addr_equal(const struct nsbpf_addr *a, const struct nsbpf_addr *b)
{
	return !((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]) | (a->words[2] ^ b->words[2]) |
		 (a->words[3] ^ b->words[3]));
}

/* Has the tuple of such a packet no ports, but an identifier? */
static __always_inline bool is_icmp(__u8 proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

/* The i-th eight bytes; the last have ports, protocol and padding. */
static __always_inline __u64 tuple_word(const struct tuple *t, int i)
{
	__u64 word;

	__builtin_memcpy(&word, __builtin_assume_aligned((const char *)t + i * sizeof(word), sizeof(word)),
			 sizeof(word));
	return word;
}

static __always_inline bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	__u64 difference = 0;

	for (unsigned int i = 0; i < sizeof(*a) / sizeof(difference); i++)
		difference |= tuple_word(a, i) ^ tuple_word(b, i);
	return !difference;
}

static __always_inline void tuple_reverse(const struct tuple *from, struct tuple *to)
{
	to->saddr = from->daddr;
	to->daddr = from->saddr;
	to->sport = from->dport;
	to->dport = from->sport;
	to->proto = from->proto;
	to->pad[0] = to->pad[1] = to->pad[2] = 0;
}

#endif
