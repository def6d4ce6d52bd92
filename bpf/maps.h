/* SPDX-License-Identifier: GPL-2.0-only */
/* The state of one host. Every map is pinned; the loader and the CLI know them by these names. */
#ifndef NSBPF_BPF_MAPS_H
#define NSBPF_BPF_MAPS_H

/* Four words of seven: the two buckets that a word may be in are hardly ever full. */
#define CONNECTIONS_PER_BUCKET 2
#define BINDINGS_PER_BUCKET 4
#define OPENINGS_PER_CONNECTION 2

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* By slot; a host veth's ifindex is NSBPF_IFINDEX_BASE + slot. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct endpoint);
} endpoints SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_MAX_NETWORKS);
	__type(key, __u32);
	__type(value, struct network);
} networks SEC(".maps");

/* Endpoint address → slot. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * NSBPF_MAX_ENDPOINTS);
	__type(key, struct nsbpf_addr);
	__type(value, __u32);
} addresses SEC(".maps");

/* By ifindex. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, NSBPF_MAX_UPLINKS);
	__type(key, __u32);
	__type(value, struct uplink);
} uplinks SEC(".maps");

/* Two halves of NSBPF_MAX_MAPPINGS, one of them in use: see settings.mappings. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 2 * NSBPF_MAX_MAPPINGS);
	__type(key, __u32);
	__type(value, struct mapping);
} mappings SEC(".maps");

/* Local and broadcast addresses (enum host_address): for the socket hooks, which have no FIB to ask, and because the
 * FIB does not tell the two apart. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NSBPF_MAX_HOST_ADDRESSES);
	__type(key, struct nsbpf_addr);
	__type(value, __u8);
} host_addresses SEC(".maps");

/*
 * Connections, by place - 1. The kernel's hash map would take 64 bytes of its own for each direction, and have both
 * directions' NAT in each; these arrays take 256 bytes a connection in all, bindings included. MMAPABLE ones begin at a
 * page, so that what is as long as a cache line is in one. The loader says how long they are: see max_connections.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_CONNECTIONS);
	__type(key, __u32);
	__type(value, struct conn);
} connections SEC(".maps");

/* By place - 1, and the replies' behind all the originals'. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, CONN_DIRS *NSBPF_CONNECTIONS);
	__type(key, __u32);
	__type(value, struct traffic);
} traffic SEC(".maps");

/* See index.h. */
struct index_bucket {
	struct bpf_spin_lock lock;
	__u32 elsewhere; /* words that would be here, but are in the other bucket */
	__u64 words[NSBPF_BUCKET_WORDS];
};

_Static_assert(sizeof(struct index_bucket) == 64, "one cache line");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_CONNECTIONS / CONNECTIONS_PER_BUCKET);
	__type(key, __u32);
	__type(value, struct index_bucket);
} conn_index SEC(".maps");

/* By place - 1. See deadline.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_CONNECTIONS / NSBPF_BLOCK_WORDS);
	__type(key, __u32);
	__type(value, struct block);
} deadlines SEC(".maps");

/* A ring of the places that are free, 0 where there is none. The loader puts all of them in. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_CONNECTIONS / NSBPF_BLOCK_WORDS);
	__type(key, __u32);
	__type(value, struct block);
} places SEC(".maps");

struct sweep {
	struct bpf_timer timer;
	__u32 running; /* it is going to go off */
	__u32 next;    /* where in `deadlines` to go on */
};

/* The one timer; the loader makes it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sweep);
} sweeps SEC(".maps");

/* By endpoint: what it holds of what there is only so much of. Slot 0: all endpoints together. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct usage);
} usage SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pressure);
} pressure SEC(".maps");

/* Connections that were opened, or closed, in that order, by place: where to look for one that may give way. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, OPENINGS_PER_CONNECTION *NSBPF_CONNECTIONS / NSBPF_BLOCK_WORDS);
	__type(key, __u32);
	__type(value, struct block);
} openings SEC(".maps");

/* The addresses that NAT ports belong to; one value, because one lock guards all of it. */
struct nat_addresses {
	struct bpf_spin_lock lock;
	__u32 pad;
	struct nat_address list[NSBPF_MAX_NAT_ADDRESSES];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct nat_addresses);
} nat_addresses SEC(".maps");

/* A word for each NAT port, see NAT_PORT_SHIFT in types.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_MAX_NAT_ADDRESSES *NAT_PROTOS << 16);
	__type(key, __u32);
	__type(value, __u64);
} nat_ports SEC(".maps");

/* Endpoint's port → NAT port, where the two differ. Each has at least one connection. A word leads to one of
 * `nat_ports`, which has the rest: tag << 32 | its index + 1. See index.h. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, NSBPF_CONNECTIONS / BINDINGS_PER_BUCKET);
	__type(key, __u32);
	__type(value, struct index_bucket);
} bindings SEC(".maps");

/* By endpoint: when a search of all ports was in vain. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NSBPF_MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, __u32);
} vain_searches SEC(".maps");

/* When a SYN to a NAT port came that nobody had asked for: see port_refuses(). Losing one costs an ICMP error. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct tuple);
	__type(value, __u32);
} unsolicited SEC(".maps");

/* Entry 0 is for all targets together, the others by a hash of the target. */
#define ICMP_RATES 1024
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, ICMP_RATES);
	__type(key, __u32);
	__type(value, struct icmp_rate);
} icmp_rates SEC(".maps");

/* Fragments are no connections: losing one costs a datagram, so here the oldest may give way. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, struct fragment_ports);
} fragments SEC(".maps");

/* Datagrams that are the host's own, by their first fragment: strangers can fill this one, not `fragments`. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct fragment_key);
	__type(value, __u32);
} host_datagrams SEC(".maps");

/* Many more than there can be: an LRU map evicts long before it is full. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 8 * NSBPF_HELD_FRAGMENTS);
	__type(key, struct fragment_key);
	__type(value, struct held_datagram);
} held_datagrams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, NSBPF_HELD_FRAGMENTS);
	__type(key, __u32);
	__type(value, struct held_fragment);
} held_fragments SEC(".maps");

/* By enum drop_reason. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, DROP_REASONS);
	__type(key, __u32);
	__type(value, __u64);
} drops SEC(".maps");

/* By slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, NSBPF_MAX_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct endpoint_stats);
} endpoint_stats SEC(".maps");

/* Host sockets that were sent to an endpoint, by cookie, until they are closed. User space reads it to end those that
 * came through a mapping that goes. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, NSBPF_MAX_HOST_SOCKETS);
	__type(key, __u64);
	__type(value, struct host_socket_peers);
} host_sockets SEC(".maps");

#endif
