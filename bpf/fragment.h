/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Only a datagram's first fragment has ports (RFC 791, RFC 8200 4.5): later ones learn them from it. Those that come
 * before it are held; when it comes, it and they go round once more through the device that they came by, now in order.
 */
#ifndef NSBPF_BPF_FRAGMENT_H
#define NSBPF_BPF_FRAGMENT_H

static __always_inline void fragment_key(const struct packet *p, struct fragment_key *key)
{
	key->saddr = p->tuple.saddr;
	key->daddr = p->tuple.daddr;
	key->id = p->fragment_id;
	key->proto = p->ipv6 ? 0 : p->tuple.proto;
	key->pad[0] = key->pad[1] = key->pad[2] = 0;
}

static __always_inline bool fragment_keys_equal(const struct fragment_key *a, const struct fragment_key *b)
{
	return addr_equal(&a->saddr, &b->saddr) && addr_equal(&a->daddr, &b->daddr) && a->id == b->id &&
	       a->proto == b->proto;
}

/* Completes a later fragment's tuple, if its first fragment has been here. */
static __noinline bool fragment_resolve(struct packet *p)
{
	struct fragment_ports *ports;
	struct fragment_key key;

	fragment_key(p, &key);
	ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports || clock_now() - ports->seen >= timeout(TIMEOUT_FRAGMENT))
		return false;
	p->tuple.sport = ports->sport;
	p->tuple.dport = ports->dport;
	p->tuple.proto = ports->proto;
	return true;
}

/* Copies the frame into the pool, under the datagram's key. False: there is no room for it. */
static __always_inline bool fragment_store(struct __sk_buff *skb, const struct fragment_key *key)
{
	struct pressure *pr = pressure_get();
	struct held_datagram *d, fresh = {};
	struct held_fragment *held;
	__u32 length = skb->len, slot, place;

	if (!pr)
		return false;
	d = bpf_map_lookup_elem(&held_datagrams, key);
	if (!d) {
		bpf_map_update_elem(&held_datagrams, key, &fresh, BPF_NOEXIST);
		d = bpf_map_lookup_elem(&held_datagrams, key);
	}
	if (!d || d->count >= NSBPF_HELD_OF_ONE)
		return false;
	slot = __sync_fetch_and_add(&pr->held, 1) % NSBPF_HELD_FRAGMENTS;
	held = bpf_map_lookup_elem(&held_fragments, &slot);
	if (!held)
		return false;
	held->length = 0; /* whose it was, it is gone */
	if (!length_is_within(&length, ETH_HLEN, NSBPF_HELD_SIZE) || bpf_skb_load_bytes(skb, 0, held->frame, length))
		return false;
	held->datagram = *key;
	held->seen = clock_now();
	held->length = length;
	place = __sync_fetch_and_add(&d->count, 1);
	if (place >= NSBPF_HELD_OF_ONE)
		return false;
	d->slots[place] = slot;
	return true;
}

/*
 * A later fragment whose first one was not here yet. VERDICT_CONTINUE: it is resolved now, another CPU has had the
 * first one meanwhile. VERDICT_CONSUMED: it is held.
 */
__noinline int fragment_hold(struct __sk_buff *skb, struct packet *p)
{
	struct fragment_key key;
	bool held;

	if (!p)
		return VERDICT_DROP;
	fragment_key(p, &key);
	held = fragment_store(skb, &key);
	if (fragment_resolve(p))
		return VERDICT_CONTINUE;
	return held ? VERDICT_CONSUMED : drop(p, DROP_FRAGMENT);
}

struct fragment_round {
	struct __sk_buff *skb;
	struct fragment_key key;
	struct held_datagram *datagram;
	__u32 count;
};

/* Sends one of the held ones round again. */
static long fragment_release_step(__u32 step, struct fragment_round *r)
{
	struct held_fragment *held;
	__u32 slot, length;

	if (step >= r->count || step >= NSBPF_HELD_OF_ONE)
		return 1;
	slot = r->datagram->slots[step];
	held = bpf_map_lookup_elem(&held_fragments, &slot);
	if (!held)
		return 0;
	length = held->length;
	if (!fragment_keys_equal(&held->datagram, &r->key) || clock_now() - held->seen >= timeout(TIMEOUT_FRAGMENT))
		return 0;
	held->length = 0;
	if (!length_is_within(&length, ETH_HLEN + 1, NSBPF_HELD_SIZE) || bpf_skb_change_tail(r->skb, length, 0))
		return 0;
	/* skb->csum, if it has one, does not cover the Ethernet header. */
	if (bpf_skb_store_bytes(r->skb, 0, held->frame, ETH_HLEN, 0) ||
	    bpf_skb_store_bytes(r->skb, ETH_HLEN, held->frame + ETH_HLEN, length - ETH_HLEN, BPF_F_RECOMPUTE_CSUM))
		return 0;
	count_sent_later(r->skb);
	bpf_clone_redirect(r->skb, r->skb->ifindex, BPF_F_INGRESS);
	return 0;
}

/*
 * A connection has got a datagram's first fragment: remembers its ports for the later ones. True: some of those were
 * here before; then it has gone round again with them after it, and this skb is used up.
 */
__noinline int fragment_first(struct __sk_buff *skb, struct packet *p)
{
	struct fragment_ports ports = { .seen = clock_now(), .proto = p ? p->tuple.proto : 0 };
	struct fragment_round round = { .skb = skb };

	if (!p)
		return false;
	ports.sport = p->tuple.sport;
	ports.dport = p->tuple.dport;
	fragment_key(p, &round.key);
	bpf_map_update_elem(&fragments, &round.key, &ports, BPF_ANY);
	round.datagram = bpf_map_lookup_elem(&held_datagrams, &round.key);
	if (!round.datagram)
		return false;
	round.count = __sync_lock_test_and_set(&round.datagram->count, 0);
	if (!round.count || bpf_clone_redirect(skb, skb->ifindex, BPF_F_INGRESS))
		return false;
	count_sent_later(skb);
	bpf_loop(NSBPF_HELD_OF_ONE, fragment_release_step, &round, 0);
	return true;
}

/* The host's own datagram begins: the fragments to come are its own, even if one of ours had that number before. */
static __noinline void fragment_is_the_hosts(const struct packet *p)
{
	struct fragment_key key;
	__u32 now = clock_now();

	fragment_key(p, &key);
	bpf_map_delete_elem(&fragments, &key);
	bpf_map_delete_elem(&held_datagrams, &key);
	bpf_map_update_elem(&host_datagrams, &key, &now, BPF_ANY);
}

static __noinline bool is_hosts_datagram(const struct packet *p)
{
	struct fragment_key key;
	__u32 *seen;

	fragment_key(p, &key);
	seen = bpf_map_lookup_elem(&host_datagrams, &key);
	return seen && clock_now() - *seen < timeout(TIMEOUT_FRAGMENT);
}

#endif
