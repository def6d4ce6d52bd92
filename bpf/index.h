/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hash tables of 64-byte buckets, in which a word has the choice of two. The one it prefers holds nearly all, so that
 * finding a connection by its tuple is one cache line here and two of the connection's.
 *
 * Whoever looks something up takes no lock. Words come and go by compare and exchange. Two CPUs that put in the same,
 * of which only one may, meet at the lock of the bucket that it prefers.
 */
#ifndef NSBPF_BPF_INDEX_H
#define NSBPF_BPF_INDEX_H

#define ENOENT 2
#define E2BIG 7
#define EBUSY 16
#define EEXIST 17
#define EINVAL 22

/* How full the preferred bucket gets before the emptier one is taken. In a table that has been full for long a third of
 * the words are in the other one by that, and one connection in 20,000 finds both full; at nine tenths none does. */
#define BUCKET_PREFERRED 3

/* A power of two. Not a constant of the C program: the loader puts it in before the verifier sees it as one. */
const volatile __u32 max_connections = NSBPF_CONNECTIONS;
/* Random, so that nobody outside can choose addresses and ports that fill a bucket. */
const volatile __u32 hash_key[10] = {};

/* A word of a map of blocks. */
static __always_inline __u32 *word_get(void *map, __u32 index)
{
	__u32 number = index / NSBPF_BLOCK_WORDS;
	struct block *b = bpf_map_lookup_elem(map, &number);

	if (!b)
		return NULL;
	asm volatile("" : "+r"(b)); /* or the sum comes before the question whether there is anything to add to */
	return &b->words[index % NSBPF_BLOCK_WORDS];
}

static __always_inline __u32 ref_place(__u64 ref)
{
	return (__u32)ref >> 1;
}

static __always_inline enum conn_dir ref_dir(__u64 ref)
{
	return ref & 1;
}

static __always_inline __u32 ref_tag(__u64 ref)
{
	return ref >> 32;
}

static __always_inline struct conn *conn_at(__u32 place)
{
	__u32 index = place - 1;

	return bpf_map_lookup_elem(&connections, &index);
}

static __always_inline struct conn *conn_get(__u64 ref)
{
	return conn_at(ref_place(ref));
}

static __always_inline struct traffic *traffic_at(__u32 place, enum conn_dir dir)
{
	__u32 index = place - 1 + (dir == DIR_REPLY ? max_connections : 0);

	return bpf_map_lookup_elem(&traffic, &index);
}

static __always_inline __u64 conn_ref(const struct conn *c, __u32 place, enum conn_dir dir)
{
	return (__u64)c->tags[dir] << 32 | place << 1 | dir;
}

/* The sums below have their chance in all bits together; what is made of them takes some. */
static __always_inline __u64 hash_spread(__u64 sum)
{
	sum = (sum ^ sum >> 32) * 0x9e3779b97f4a7c15;
	return sum ^ sum >> 29;
}

/* NH, the first layer of UMAC (RFC 4418 5.2.2): two tuples collide with a chance of 2^-32, whoever has chosen them, as
 * long as he does not know the key. */
static __always_inline __u64 tuple_hash(const struct tuple *t)
{
	const struct nsbpf_addr *s = &t->saddr, *d = &t->daddr;
	__u32 ports = (__u32)t->sport << 16 | t->dport, proto = t->proto;
	__u64 sum = (__u64)(s->words[0] + hash_key[0]) * (__u32)(s->words[1] + hash_key[1]) +
		    (__u64)(s->words[2] + hash_key[2]) * (__u32)(s->words[3] + hash_key[3]) +
		    (__u64)(d->words[0] + hash_key[4]) * (__u32)(d->words[1] + hash_key[5]) +
		    (__u64)(d->words[2] + hash_key[6]) * (__u32)(d->words[3] + hash_key[7]) +
		    (__u64)(ports + hash_key[8]) * (__u32)(proto + hash_key[9]);

	return hash_spread(sum);
}

static __always_inline __u32 hash_tag(__u64 hash)
{
	return hash >> 32 | 1;
}

/* Where a hash leads in a table of so many buckets, a power of two: first, and if that is full. */
static __always_inline struct index_bucket *bucket_preferred(void *table, __u32 buckets, __u64 hash)
{
	__u32 number = hash & (buckets - 1);

	return bpf_map_lookup_elem(table, &number);
}

static __always_inline struct index_bucket *bucket_other(void *table, __u32 buckets, __u64 hash)
{
	__u32 number = hash * 0xff51afd7ed558ccd >> 32 & (buckets - 1);

	return bpf_map_lookup_elem(table, &number);
}

static __always_inline __u64 bucket_word(const struct index_bucket *b, int i)
{
	return *(volatile __u64 *)&b->words[i];
}

/* There is one at most, see bucket_insert(). */
static __always_inline __u64 bucket_find(const struct index_bucket *b, __u32 tag)
{
	for (int i = 0; i < NSBPF_BUCKET_WORDS; i++) {
		__u64 word = bucket_word(b, i);

		if (word >> 32 == tag)
			return word;
	}
	return 0;
}

/* Without branches: with one for each word the verifier follows each set of words that may be used. */
static __always_inline __u32 bucket_used(const struct index_bucket *b)
{
	__u32 used = 0;

	for (int i = 0; i < NSBPF_BUCKET_WORDS; i++) {
		__u64 word = bucket_word(b, i), negative = -word;

		asm volatile("" : "+r"(negative)); /* or the compiler sees a comparison in it */
		used += (word | negative) >> 63;
	}
	return used;
}

static __always_inline bool bucket_replace(struct index_bucket *b, __u64 from, __u64 to)
{
	for (int i = 0; i < NSBPF_BUCKET_WORDS; i++)
		if (bucket_word(b, i) == from && __sync_val_compare_and_swap(&b->words[i], from, to) == from)
			return true;
	return false;
}

/* Into the other bucket, of which nobody knows yet that it has no such tag. */
static __always_inline __u64 bucket_insert_elsewhere(struct index_bucket *preferred, struct index_bucket *other,
						     __u64 word)
{
	__u64 same = bucket_find(other, word >> 32);

	if (same)
		return same;
	__sync_fetch_and_add(&preferred->elsewhere, 1); /* before anybody could miss it */
	if (bucket_replace(other, 0, word))
		return 0;
	__sync_fetch_and_add(&preferred->elsewhere, -1);
	return -1;
}

/* 0: done. Else the word with the same tag, which is in the way, or -1 if both buckets are full. Two words of a tag
 * have no place in a bucket, even if they are about different things, once in a billion times: who looks for one could
 * find the other. */
static __always_inline __u64 bucket_insert(struct index_bucket *preferred, struct index_bucket *other, __u64 word)
{
	__u64 same;
	__u32 used;

	bpf_spin_lock(&preferred->lock);
	same = bucket_find(preferred, word >> 32);
	if (!same && preferred->elsewhere)
		same = bucket_find(other, word >> 32);
	if (!same) {
		used = bucket_used(preferred);
		if ((used > BUCKET_PREFERRED && used > bucket_used(other)) || !bucket_replace(preferred, 0, word))
			same = bucket_insert_elsewhere(preferred, other, word);
	}
	bpf_spin_unlock(&preferred->lock);
	return same;
}

static __always_inline void bucket_remove(struct index_bucket *preferred, struct index_bucket *other, __u64 word)
{
	if (!bucket_replace(preferred, word, 0) && bucket_replace(other, word, 0))
		__sync_fetch_and_add(&preferred->elsewhere, -1);
}

#define CONN_BUCKETS (max_connections / CONNECTIONS_PER_BUCKET)

static __always_inline bool ref_has(__u64 ref, const struct tuple *tuple)
{
	struct conn *c = conn_get(ref);

	return c && tuple_equal(&c->tuples[ref_dir(ref)], tuple);
}

/* Which direction of which connection packets with this tuple are; 0: none. Not static, so that it is verified once. */
__noinline __u64 conn_lookup(const struct tuple *tuple)
{
	struct index_bucket *b;
	__u64 hash, ref;

	if (!tuple)
		return 0;
	hash = tuple_hash(tuple);
	b = bucket_preferred(&conn_index, CONN_BUCKETS, hash);
	if (!b)
		return 0;
	ref = bucket_find(b, hash_tag(hash));
	if (ref && ref_has(ref, tuple))
		return ref;
	if (!*(volatile __u32 *)&b->elsewhere)
		return 0;
	b = bucket_other(&conn_index, CONN_BUCKETS, hash);
	ref = b ? bucket_find(b, hash_tag(hash)) : 0;
	return ref && ref_has(ref, tuple) ? ref : 0;
}

/* Makes a direction known: from now on packets find it. 0; -EEXIST if another connection has the tuple; -E2BIG if there
 * is no room for it. */
__noinline int conn_publish(__u32 place, __u32 dir)
{
	struct index_bucket *preferred, *other;
	struct conn *c = conn_at(place);
	__u64 hash, in_the_way;

	if (!c || dir >= CONN_DIRS)
		return -E2BIG;
	hash = tuple_hash(&c->tuples[dir]);
	preferred = bucket_preferred(&conn_index, CONN_BUCKETS, hash);
	other = bucket_other(&conn_index, CONN_BUCKETS, hash);
	if (!preferred || !other)
		return -E2BIG;
	c->tags[dir] = hash_tag(hash);
	in_the_way = bucket_insert(preferred, other, conn_ref(c, place, dir));
	if (!in_the_way)
		return 0;
	return ref_has(in_the_way, &c->tuples[dir]) ? -EEXIST : -E2BIG;
}

/* Undoes that. */
__noinline int conn_unpublish(__u32 place, __u32 dir)
{
	struct index_bucket *preferred, *other;
	struct conn *c = conn_at(place);
	__u64 hash;

	if (!c || dir >= CONN_DIRS)
		return 0;
	hash = tuple_hash(&c->tuples[dir]);
	preferred = bucket_preferred(&conn_index, CONN_BUCKETS, hash);
	other = bucket_other(&conn_index, CONN_BUCKETS, hash);
	if (preferred && other)
		bucket_remove(preferred, other, conn_ref(c, place, dir));
	return 0;
}

#endif
