/* SPDX-License-Identifier: GPL-2.0-only */
/* Only a datagram's first fragment has ports (RFC 791): later ones learn them from it. */
#ifndef NSBPF_BPF_FRAGMENT_H
#define NSBPF_BPF_FRAGMENT_H

static __always_inline void fragment_key(const struct packet *p, struct fragment_key *key)
{
	key->saddr = p->tuple.saddr;
	key->daddr = p->tuple.daddr;
	key->id = p->fragment_id;
	key->proto = p->tuple.proto;
}

/* Called once a connection has taken the first fragment, so that strangers' fragments do not fill the map. */
static __noinline void fragment_remember(const struct packet *p)
{
	struct fragment_ports ports = { .sport = p->tuple.sport, .dport = p->tuple.dport, .seen = clock_now() };
	struct fragment_key key = {};

	fragment_key(p, &key);
	bpf_map_update_elem(&fragments, &key, &ports, BPF_ANY);
}

/* Completes a later fragment's tuple, if its first fragment has been here. */
static __noinline void fragment_resolve(struct packet *p)
{
	struct fragment_ports *ports;
	struct fragment_key key = {};

	fragment_key(p, &key);
	ports = bpf_map_lookup_elem(&fragments, &key);
	if (!ports || clock_now() - ports->seen >= NSBPF_FRAGMENT_LIFETIME * NSBPF_CLOCK_HZ)
		return;
	p->tuple.sport = ports->sport;
	p->tuple.dport = ports->dport;
}

/* The host's own datagram begins: the fragments to come are its own, even if one of ours had that number before. */
static __noinline void fragment_forget(const struct packet *p)
{
	struct fragment_key key = {};

	fragment_key(p, &key);
	bpf_map_delete_elem(&fragments, &key);
}

#endif
