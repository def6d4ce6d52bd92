/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * NAT bindings: an endpoint's port keeps its NAT port for as long as a connection uses it, whatever the destination
 * (RFC 4787 REQ-1, RFC 5382 REQ-1). Each NAT port is one word that says whose it is and how many connections use it, so
 * that compare and exchange decides between CPUs; `bindings` leads from the endpoint's port to it where the two differ.
 */
#ifndef NSBPF_BPF_NAT_PORT_H
#define NSBPF_BPF_NAT_PORT_H

#define PORT_RETRIES 64 /* as often may other CPUs change one port's word before our exchange */
#define PORT_USERS_MAX 0xffff

static __always_inline void usage_add(__u32 endpoint, int connections, int ports)
{
	struct usage *u = bpf_map_lookup_elem(&usage, &endpoint);
	__u32 all = 0;
	struct usage *total = bpf_map_lookup_elem(&usage, &all);

	if (!u || !total)
		return;
	if (connections) {
		__sync_fetch_and_add(&u->connections, connections);
		__sync_fetch_and_add(&total->connections, connections);
	}
	if (ports) {
		__sync_fetch_and_add(&u->ports, ports);
		__sync_fetch_and_add(&total->ports, ports);
	}
}

static __always_inline enum nat_proto nat_proto(__u8 proto)
{
	return proto == IPPROTO_TCP ? NAT_TCP : proto == IPPROTO_UDP ? NAT_UDP : NAT_ICMP;
}

static __always_inline struct nat_addresses *nat_addresses_get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&nat_addresses, &zero);
}

/* One search each, the next only if the last was in vain: in one loop the verifier would follow every combination. */
static __always_inline __u32 nat_address_with(const struct nat_addresses *all, const struct nsbpf_addr *addr)
{
	for (__u32 i = 0; i < NSBPF_MAX_NAT_ADDRESSES; i++)
		if (*(volatile __u32 *)&all->list[i].state != NAT_ADDRESS_FREE && addr_equal(&all->list[i].addr, addr))
			return i + 1;
	return 0;
}

static __always_inline __u32 nat_address_unused(const struct nat_addresses *all)
{
	for (__u32 i = 0; i < NSBPF_MAX_NAT_ADDRESSES; i++)
		if (all->list[i].state == NAT_ADDRESS_FREE)
			return i + 1;
	return 0;
}

static __always_inline __u32 nat_address_idle(const struct nat_addresses *all)
{
	for (__u32 i = 0; i < NSBPF_MAX_NAT_ADDRESSES; i++)
		if (!(all->list[i].bound[NAT_TCP] | all->list[i].bound[NAT_UDP] | all->list[i].bound[NAT_ICMP]))
			return i + 1;
	return 0;
}

/*
 * 1 + the index of the address's port table, 0 if it has none. With `make` it gets one, unless all are in use by
 * others: a table that nobody has used yet, else one whose last binding has ended. Looking takes no lock: an address is
 * written while its state says that there is none.
 */
__noinline __u32 port_table(const struct nsbpf_addr *addr, bool make)
{
	struct nat_addresses *all = nat_addresses_get();
	struct nsbpf_addr wanted;
	__u32 found;

	if (!all || !addr)
		return 0;
	wanted = *addr;
	found = nat_address_with(all, &wanted);
	if (found || !make)
		return found;
	bpf_spin_lock(&all->lock);
	found = nat_address_with(all, &wanted);
	if (!found)
		found = nat_address_unused(all);
	if (!found)
		found = nat_address_idle(all);
	if (found && found <= NSBPF_MAX_NAT_ADDRESSES) {
		struct nat_address *a = &all->list[found - 1];

		*(volatile __u32 *)&a->state = NAT_ADDRESS_FREE;
		a->addr = wanted;
		__sync_lock_test_and_set(&a->state, NAT_ADDRESS_READY);
	}
	bpf_spin_unlock(&all->lock);
	return found;
}

static __always_inline __u64 *nat_port(__u32 table, __u8 proto, __u16 port)
{
	__u32 index = (((table - 1) * NAT_PROTOS + nat_proto(proto)) << 16) + port;

	return bpf_map_lookup_elem(&nat_ports, &index);
}

/* How many of the ports that any binding may get are bound. Those below 1024 are not among them. */
static __always_inline __u32 *ports_bound(__u32 table, __u8 proto)
{
	struct nat_addresses *all = nat_addresses_get();
	__u32 index = table - 1;

	if (!all || index >= NSBPF_MAX_NAT_ADDRESSES)
		return NULL;
	return &all->list[index].bound[nat_proto(proto)];
}

static __always_inline void ports_bound_add(__u32 table, __u8 proto, __u16 port, int change)
{
	__u32 *bound = ports_bound(table, proto);

	if (bound && (port >= 1024 || is_icmp(proto)))
		__sync_fetch_and_add(bound, change);
}

static __always_inline __u32 port_owner(__u32 endpoint, __u16 port)
{
	return endpoint << NAT_ENDPOINT_SHIFT | port;
}

static __always_inline __u32 port_users(__u64 word)
{
	return word >> NAT_USERS_SHIFT & PORT_USERS_MAX;
}

/* Is it nobody's, and has it been for long enough? */
static __always_inline bool port_has_rested(__u64 word)
{
	__u16 age = (__u16)(clock_now() >> NAT_CLOCK_SHIFT) - (__u16)(word >> NAT_FREED_SHIFT);

	return !word || (!port_users(word) && age >= timeout(TIMEOUT_PORT) >> NAT_CLOCK_SHIFT);
}

/* One connection more for a port that is its owner's already. False: it is not, or not any more. */
__noinline int port_take(__u32 table, __u32 proto, __u32 port, __u32 owner)
{
	__u64 *word = nat_port(table, proto, port);

	if (!word)
		return false;
	for (int i = 0; i < PORT_RETRIES; i++) {
		__u64 old = *(volatile __u64 *)word;

		if ((__u32)old != owner || !port_users(old) || port_users(old) == PORT_USERS_MAX)
			return false;
		if (__sync_val_compare_and_swap(word, old, old + (1ULL << NAT_USERS_SHIFT)) == old)
			return true;
	}
	return false;
}

/* The first connection for a port that nobody uses; `old` is its word as it was looked at. */
static __always_inline bool port_claim(__u64 *word, __u64 old, __u32 owner)
{
	__u64 claimed = owner | 1ULL << NAT_USERS_SHIFT;

	return __sync_val_compare_and_swap(word, old, claimed) == old;
}

static __always_inline void binding_key_of(__u64 word, __u32 table, __u32 proto, struct binding_key *key)
{
	key->address = table - 1;
	key->proto = nat_proto(proto);
	key->endpoint = word >> NAT_ENDPOINT_SHIFT;
	key->port = word;
	key->pad = 0;
}

#define BINDING_BUCKETS (max_connections / BINDINGS_PER_BUCKET)

static __always_inline __u64 binding_hash(const struct binding_key *key)
{
	__u32 a = (__u32)key->address << 8 | key->proto, b = port_owner(key->endpoint, key->port);

	return hash_spread((__u64)(a + hash_key[0]) * (__u32)(b + hash_key[1]));
}

/* As `bindings` has it. */
static __always_inline __u64 binding_word(const struct binding_key *key, __u64 hash, __u16 port)
{
	__u32 index = ((key->address * NAT_PROTOS + key->proto) << 16) + port;

	return (__u64)hash_tag(hash) << 32 | (index + 1);
}

/* The NAT port of this binding, if the word is about it; else 0. */
static __always_inline __u16 binding_port(const struct binding_key *key, __u64 word)
{
	__u32 index = (__u32)word - 1;
	__u64 *state = bpf_map_lookup_elem(&nat_ports, &index);

	if (!word || !state || index >> 16 != key->address * NAT_PROTOS + key->proto ||
	    *(volatile __u32 *)state != port_owner(key->endpoint, key->port))
		return 0;
	return index;
}

/* The NAT port that the endpoint's port is bound to; 0: it is not, or to one of the same number. */
__noinline int binding_lookup(const struct binding_key *key)
{
	struct index_bucket *b;
	__u16 port;
	__u64 hash;

	if (!key)
		return 0;
	hash = binding_hash(key);
	b = bucket_preferred(&bindings, BINDING_BUCKETS, hash);
	if (!b)
		return 0;
	port = binding_port(key, bucket_find(b, hash_tag(hash)));
	if (port || !*(volatile __u32 *)&b->elsewhere)
		return port;
	b = bucket_other(&bindings, BINDING_BUCKETS, hash);
	return b ? binding_port(key, bucket_find(b, hash_tag(hash))) : 0;
}

/* The binding's word comes. 0, or another NAT port that the endpoint's port is bound to already. */
__noinline int binding_show(const struct binding_key *key, __u32 port)
{
	struct index_bucket *preferred, *other;
	__u64 hash, word, in_the_way;

	if (!key)
		return 0;
	hash = binding_hash(key);
	preferred = bucket_preferred(&bindings, BINDING_BUCKETS, hash);
	other = bucket_other(&bindings, BINDING_BUCKETS, hash);
	if (!preferred || !other)
		return 0;
	word = binding_word(key, hash, port);
	in_the_way = bucket_insert(preferred, other, word);
	if (!in_the_way || in_the_way == word)
		return 0;
	if (binding_port(key, in_the_way))
		return binding_port(key, in_the_way);
	/* It leads to a port that is somebody else's by now: left over from a race of two releases. */
	bucket_remove(preferred, other, in_the_way);
	bucket_insert(preferred, other, word);
	return 0;
}

/* And goes. */
__noinline int binding_hide(const struct binding_key *key, __u32 port)
{
	struct index_bucket *preferred, *other;
	__u64 hash;

	if (!key)
		return 0;
	hash = binding_hash(key);
	preferred = bucket_preferred(&bindings, BINDING_BUCKETS, hash);
	other = bucket_other(&bindings, BINDING_BUCKETS, hash);
	if (preferred && other)
		bucket_remove(preferred, other, binding_word(key, hash, port));
	return 0;
}

static __always_inline bool binding_is_used(const struct binding_key *key, __u64 word)
{
	return port_users(word) && (__u32)word == port_owner(key->endpoint, key->port);
}

static __always_inline __u64 port_freed(__u64 word)
{
	return (__u32)word | (__u64)(clock_now() >> NAT_CLOCK_SHIFT) << NAT_FREED_SHIFT;
}

/* So often may other CPUs change a port's word before a share in it is given back, which must not fail. */
#define RELEASE_RETRIES (1 << 16)

/* A share in a NAT port that is given back; `hidden`: its binding is, as this looked like the last. */
struct port_share {
	struct binding_key key;
	__u32 table, proto, port;
	bool hidden;
};

/* Somebody has taken a share while the binding was hidden, and may have given it back before it is shown. */
static __always_inline void binding_show_again(const struct port_share *s, const __u64 *word)
{
	binding_show(&s->key, s->port);
	if (!binding_is_used(&s->key, *(volatile __u64 *)word))
		binding_hide(&s->key, s->port);
}

/* One try; 0 if another CPU was faster. */
static long port_release_step(__attribute__((unused)) __u32 step, struct port_share *s)
{
	__u64 *word = nat_port(s->table, s->proto, s->port), old;

	if (!word)
		return 1;
	old = *(volatile __u64 *)word;
	if (port_users(old) > 1) {
		if (__sync_val_compare_and_swap(word, old, old - (1ULL << NAT_USERS_SHIFT)) != old)
			return 0;
		if (s->hidden)
			binding_show_again(s, word);
		return 1;
	}
	if (!port_users(old))
		return 1;
	if (!s->hidden && s->key.port != s->port) {
		binding_hide(&s->key, s->port);
		s->hidden = true;
	}
	if (__sync_val_compare_and_swap(word, old, port_freed(old)) != old)
		return 0;
	ports_bound_add(s->table, s->proto, s->port, -1);
	usage_add(s->key.endpoint, 0, -1);
	return 1;
}

/*
 * A connection ends that had a share in a NAT port. `table` 0: it had none. `port` in host order. The last one hides
 * the binding first: so no word leads to a port that is free, and none is deleted but by who made it so.
 */
__noinline int port_release(__u32 table, __u32 proto, __u32 port)
{
	__u64 *word = table ? nat_port(table, proto, port) : NULL;
	struct port_share share = { .table = table, .proto = proto, .port = port };

	if (!word)
		return 0;
	binding_key_of(*(volatile __u64 *)word, table, proto, &share.key);
	bpf_loop(RELEASE_RETRIES, port_release_step, &share, 0);
	return 0;
}

#endif
