/* SPDX-License-Identifier: GPL-2.0-only */
/* What the BPF programs and user space share: every map's key and value. */
#ifndef NSBPF_TYPES_H
#define NSBPF_TYPES_H

#ifndef __bpf__
#include <linux/bpf.h>
#include <linux/types.h>
#include <netinet/in.h>
#endif

/* Bumped whenever a map's layout or meaning changes: a CLI never touches maps of another layout. */
#define NSBPF_ABI 5

#define NSBPF_NAME_MAX 63        /* bytes of an endpoint's or network's name, without the NUL */
#define NSBPF_MAX_ENDPOINTS 2048 /* slots of `endpoints`; slot 0 stands for "outside" */
#define NSBPF_MAX_NETWORKS 256   /* slots of `networks`; slot 0 is never used */
#define NSBPF_MAX_UPLINKS 64
#define NSBPF_MAX_MAPPINGS 16384
#define NSBPF_MAX_SOURCES 8 /* --from of one mapping */
#define NSBPF_MAX_HOST_ADDRESSES 4096
#define NSBPF_CONNECTIONS                                                                                              \
	65536 /* that there is room for if nothing else is asked for; a power of two, as those are                     \
	       */
#define NSBPF_MIN_CONNECTIONS 8192
#define NSBPF_MAX_CONNECTIONS (1 << 22)
#define NSBPF_MAX_HOST_SOCKETS 65536
#define NSBPF_MAX_NAT_ADDRESSES 8 /* masquerade addresses with a port table of their own */

/*
 * A host veth's ifindex is NSBPF_IFINDEX_BASE + its endpoint's slot: user space asks for that number when it makes the
 * device, and the datapath finds the endpoint of a packet by a subtraction instead of a hash lookup.
 */
#define NSBPF_IFINDEX_BASE (1 << 24) /* the kernel counts up from 1, and no host makes that many devices */

/* An IPv6 address, or an IPv4 one mapped into it (::ffff:a.b.c.d); network order. All zero means "any". */
struct nsbpf_addr {
	union {
		__u8 bytes[16];
		__be32 words[4];
	};
};

_Static_assert(sizeof(struct nsbpf_addr) == 16, "shared layout");

/*
 * Always as in the packet's header and in network order, in every map and log. An ICMP echo request has its identifier
 * as source port and 0 as destination port, an echo reply the other way round, so that reversing works for it as well.
 */
struct tuple {
	struct nsbpf_addr saddr;
	struct nsbpf_addr daddr;
	__be16 sport;
	__be16 dport;
	__u8 proto;
	__u8 pad[3]; /* 0: tuples are compared, and looked up, with it */
} __attribute__((aligned(8)));

_Static_assert(sizeof(struct tuple) == 40, "shared layout");

enum slot_state {
	SLOT_FREE,
	SLOT_INCOMPLETE, /* a command is at work on it, or was killed while it was */
	SLOT_READY,
};

enum endpoint_flag {
	ENDPOINT_ADOPTED = 1 << 0,     /* the namespace existed before nsbpf attached it */
	ENDPOINT_RESOLV_CONF = 1 << 1, /* nsbpf wrote /etc/netns/NAME/resolv.conf */
};

struct endpoint {
	__u32 ifindex;       /* of the host veth; 0 until it exists */
	__u16 network;       /* slot in `networks` */
	__u8 state;          /* enum slot_state */
	__u8 flags;          /* enum endpoint_flag */
	__u8 mac[6];         /* of the ns veth */
	__u8 gateway_mac[6]; /* of the host veth: the only MAC the namespace ever sees */
	__be32 addr4;
	struct nsbpf_addr addr6; /* all zero: it has no IPv6 */
	__u32 mtu;
	__u32 max_connections; /* 0: a fair share */
	__u64 netns_ino;       /* inode of the namespace in nsfs */
	char name[NSBPF_NAME_MAX + 1];
};

_Static_assert(sizeof(struct endpoint) == 120, "shared layout");

enum network_flag {
	NETWORK_OPEN = 1 << 0,      /* --isolate off: other open networks may talk to it */
	NETWORK_FULL_CONE = 1 << 1, /* --filtering endpoint-independent: whoever knows a NAT port may send to it */
	NETWORK_ROUTED4 = 1 << 2,   /* --mode routed: plain forwarding both ways, the outside knows the subnet */
	NETWORK_ROUTED6 = 1 << 3,
};

struct network {
	__u8 state; /* enum slot_state */
	__u8 flags; /* enum network_flag */
	__u8 prefix4;
	__u8 prefix6;
	__be32 subnet4;
	__be32 mask4;
	__be32 gateway4;
	struct nsbpf_addr subnet6; /* all zero, as are the next two: the network has no IPv6 */
	struct nsbpf_addr mask6;
	struct nsbpf_addr gateway6;
	struct nsbpf_addr masquerade4; /* all zero: as the host's route has it */
	struct nsbpf_addr masquerade6;
	__u32 mtu; /* 0: the uplink's */
	char name[NSBPF_NAME_MAX + 1];
	__u8 pad[4];
};

_Static_assert(sizeof(struct network) == 168, "shared layout");

enum uplink_flag {
	UPLINK_NAMED = 1 << 0,        /* by `uplink add`, and not found by its default route */
	UPLINK_CLSACT_QDISC = 1 << 1, /* nsbpf made its clsact qdisc */
};

/* What the host makes of an address: values of `host_addresses`. */
enum host_address {
	HOST_ADDRESS_LOCAL = 1,
	HOST_ADDRESS_BROADCAST = 2,
	HOST_ADDRESS_GATEWAY = 3, /* of a network: local, too, but nobody outside knows it */
};

/* Key: ifindex. */
struct uplink {
	__be32 addr4;            /* masquerade address where the FIB can't name one (no BPF_FIB_LOOKUP_SRC) */
	__u32 flags;             /* enum uplink_flag */
	struct nsbpf_addr addr6; /* the same */
	char name[16];           /* when it was attached; a device may be renamed later */
};

_Static_assert(sizeof(struct uplink) == 40, "shared layout");

struct source {
	struct nsbpf_addr addr;
	__u8 prefix; /* of 128, for IPv4 too */
	__u8 pad[3];
};

_Static_assert(sizeof(struct source) == 20, "shared layout");

/*
 * One `expose`, a whole range in one entry. The table is an array sorted by (proto, addr, first) in which no two
 * entries overlap, so that the datapath finds one by binary search; user space writes the half that is not in use and
 * then publishes it by settings.mappings.
 */
struct mapping {
	struct nsbpf_addr addr; /* host address, or all zero for any */
	__u16 first;            /* host ports, first to last, host order */
	__u16 last;
	__u16 target; /* the endpoint's port for `first`, host order */
	__u16 endpoint;
	__u8 proto;
	__u8 nsources; /* 0: everybody */
	__u8 pad[6];
	struct source sources[NSBPF_MAX_SOURCES];
};

_Static_assert(sizeof(struct mapping) == 192, "shared layout");

/* settings.mappings: which half of the table is in use, and how many entries it has; one word, so one store publishes
 */
#define NSBPF_MAPPINGS_HALF (1U << 31)
#define NSBPF_MAPPINGS_COUNT (NSBPF_MAPPINGS_HALF - 1)

/* The directions of a connection: of the packet that opened it, and of the answers. */
enum conn_dir {
	DIR_ORIGINAL,
	DIR_REPLY,
	CONN_DIRS,
};

enum conn_flag {
	CONN_SNAT = 1 << 0,
	CONN_DNAT = 1 << 1,
	CONN_HAIRPIN =
		1 << 2, /* between endpoints, through an address of the host: no packet of it comes from outside */
	CONN_FILTERED = 1 << 3, /* its original packets have to wait until their target has sent one */
};

/* What one direction has shown so far; the connection's state follows from both, see conn_state(). */
enum tcp_seen {
	TCP_SEEN_SYN = 1 << 0,
	TCP_SEEN_ACK = 1 << 1,
	TCP_SEEN_FIN = 1 << 2,
	TCP_SEEN_RST = 1 << 3,
	TCP_PEER_RST = 1 << 4, /* the other direction has: now every packet is looked at */
};

/*
 * A connection: what is read for every packet of it, and hardly ever written. It has a place from 1 on, the same in
 * `connections`, `deadlines` and, by direction, `traffic`; it is there while its deadline is not 0.
 */
struct conn {
	/* Of the packets that arrive, by enum conn_dir. A packet becomes what the other direction's are answers to. */
	struct tuple tuples[CONN_DIRS];
	__u32 tags[CONN_DIRS]; /* of the two tuples, as the index has them */
	/* Towards the outside, where one direction at most goes: */
	struct nsbpf_addr nexthop;
	__u32 oif;                /* 0: no route known yet */
	__u32 routed;             /* when it was looked up; unit: see NSBPF_CLOCK_SHIFT */
	__u16 mtu;                /* of the route; 0: not known */
	__u16 endpoint;           /* whose connection it is */
	__u16 targets[CONN_DIRS]; /* the endpoint that the packets go to, 0 for outside */
	__u8 flags;               /* enum conn_flag */
	__u8 source_ports; /* 1 + the port table whose NAT port original packets leave by; 0: it is no binding's */
	__u8 target_ports; /* the same of the port they came to, where a binding led to the endpoint */
	__u8 listed;       /* it is in `openings` */
	__u8 pad[4];
};

_Static_assert(sizeof(struct conn) == 128, "shared layout, two cache lines");

/*
 * What the packets of one direction change. Each direction has a cache line to itself, or shares it with the same
 * direction of another connection: two CPUs that carry the two directions do not meet.
 */
struct traffic {
	__u64 packets;
	__u64 bytes; /* of IP and above */
	__u32 seen;  /* last packet; unit: see NSBPF_CLOCK_SHIFT, wraps */
	__u32 acked; /* TCP: the highest acknowledgement of this direction, host order */
	__u32 edge;  /* TCP: the first sequence number behind the window that it has offered */
	__u8 tcp;    /* enum tcp_seen */
	__u8 scale;  /* TCP: shift of this direction's windows, see bpf/tcp.h */
	__u8 pad[2];
};

_Static_assert(sizeof(struct traffic) == 32, "shared layout");

/*
 * Where the index of connections keeps a tuple: in one of two buckets that its hash names. A word is a direction of a
 * connection, and by this word the datapath knows it for as long as it is at work on a packet:
 * tag << 32 | place << 1 | enum conn_dir, and 0 is none. The tag, never 0, is another part of the tuple's hash.
 */
#define NSBPF_BUCKET_WORDS 7

/* So many words of `deadlines`, `places` and `openings`: an array of single ones would take 8 bytes for each.
 * A deadline says when to look at a connection again; unit: see NSBPF_CLOCK_SHIFT, wraps; 0: there is none. */
#define NSBPF_BLOCK_WORDS 8
struct block {
	__u32 words[NSBPF_BLOCK_WORDS];
};

_Static_assert(sizeof(struct block) == 32, "shared layout");

/* The unit of traffic.seen: 2^20 ns, so near a millisecond that a shift does for the division. */
#define NSBPF_CLOCK_SHIFT 20
#define NSBPF_CLOCK_HZ 954

enum conn_state {
	CONN_TCP_SYN, /* no answer accepted yet */
	CONN_TCP_ESTABLISHED,
	CONN_TCP_FIN,     /* one direction is done */
	CONN_TCP_CLOSING, /* both are */
	CONN_TCP_RESET,
	CONN_UDP,
	CONN_ICMP,
	CONN_STATES,
};

/* settings.timeouts: those of connections, by enum conn_state, and some more. */
enum timeout {
	TIMEOUT_FRAGMENT = CONN_STATES, /* how long a datagram's first fragment is remembered, and a later one held */
	TIMEOUT_PORT,                   /* how long a freed NAT port rests */
	TIMEOUTS,
};

/* settings.features: what this kernel has beyond the floor */
enum feature {
	FEATURE_TCX = 1 << 0,            /* BPF links at tc, Linux 6.6 */
	FEATURE_FIB_SRC = 1 << 1,        /* BPF_FIB_LOOKUP_SRC, Linux 6.7 and 6.1.y */
	FEATURE_FIB_SKIP_NEIGH = 1 << 2, /* BPF_FIB_LOOKUP_SKIP_NEIGH, Linux 6.3 and 6.1.y */
	FEATURE_HOST_SOCKETS = 1 << 3,   /* the cgroup hooks are attached */
	FEATURE_CSUM_IPV6 = 1 << 4,      /* BPF_F_IPV6 of bpf_l4_csum_replace(), Linux 6.16 and stable ones */
};

struct port_range {
	__u16 first;
	__u16 last;
};

/* settings.flags */
enum setting_flag {
	SETTING_NO_INBOUND_REFRESH = 1 << 0, /* what comes from outside does not keep a connection (RFC 4787 REQ-6) */
	SETTING_LENT_USE_PMTU = 1 << 1,      /* net.ipv4.ip_forward_use_pmtu was 0 before nsbpf */
	SETTING_ROUTED = 1 << 2,             /* there is a network with --mode routed */
};

/* The one entry of `settings`: what may change while the programs run. */
struct settings {
	__u32 abi; /* NSBPF_ABI of whoever loaded the programs */
	__u32 features;
	__u32 mappings;                 /* NSBPF_MAPPINGS_HALF | count */
	struct port_range nat_ports[2]; /* where masquerade takes its ports: below and above ip_local_port_range */
	__u32 timeouts[TIMEOUTS];       /* seconds */
	__u32 second;                   /* of the timeouts, in clock units: NSBPF_CLOCK_HZ, but for tests in a hurry */
	__u32 default_uplink; /* ifindex; where packets go while the FIB can't be asked, see route_fallback() */
	__u32 default_uplink6;
	__u32 flags;                  /* enum setting_flag */
	__u32 connections;            /* that there is room for; the programs have it as a constant */
	__u32 max_connections;        /* of an endpoint that has none of its own; 0: a fair share */
	struct port_range nat_wanted; /* what nat_ports is to be; 0: what ip_local_port_range leaves */
	__u32 listeners;              /* what anybody wants to hear of: see events.h */
};

_Static_assert(sizeof(struct settings) == 88, "shared layout");

/* Per CPU, by endpoint. "rx" is what the namespace received, "tx" what it sent. */
struct endpoint_stats {
	__u64 rx_packets;
	__u64 rx_bytes;
	__u64 tx_packets;
	__u64 tx_bytes;
	__u64 drops;
};

_Static_assert(sizeof(struct endpoint_stats) == 40, "shared layout");

/* By endpoint, slot 0: all together. What it holds now of what there is only so much of; changed by atomic additions.
 */
struct usage {
	__u32 connections;
	__u32 ports; /* NAT ports of all protocols and addresses */
};

_Static_assert(sizeof(struct usage) == 8, "shared layout");

/* The one entry of `pressure`: `openings` is a ring of `opened` connections, of which `examined` were looked at to find
 * one that may give way; `places` is a ring of free places. All these wrap. */
struct pressure {
	__u32 opened;
	__u32 examined;
	__u64 gave_way; /* unanswered and closed connections that ended early, for lack of room */
	__u64 overlaps; /* connections that had to share a NAT port, as none was free */
	__u32 held;     /* fragments held so far: the next slot of the pool */
	__u32 scanned;  /* places that were looked at when the ring was empty */
	__u32 taken;    /* places */
	__u32 given;    /* ... back; those that were free from the start included */
	__u32 frozen;   /* a larger table takes over: no connection begins or ends here */
	__u32 pad;
};

_Static_assert(sizeof(struct pressure) == 48, "shared layout");

/* Protocols that have NAT ports; the "port" of an ICMP query is its identifier. */
enum nat_proto {
	NAT_TCP,
	NAT_UDP,
	NAT_ICMP,
	NAT_PROTOS,
};

enum nat_address_state {
	NAT_ADDRESS_FREE,
	NAT_ADDRESS_READY,
};

/* An address that NAT ports belong to; its port table is part of `nat_ports`. */
struct nat_address {
	struct nsbpf_addr addr;
	__u32 state;             /* enum nat_address_state */
	__u32 bound[NAT_PROTOS]; /* ports that have a binding */
};

_Static_assert(sizeof(struct nat_address) == 32, "shared layout");

/*
 * A NAT port, one word of `nat_ports` at ((address's index * NAT_PROTOS + proto) << 16) + port, that changes by compare
 * and exchange: whose it is, and by how many connections. Without any it rests, from `freed` on, and so it is 0 only
 * before its first use.
 */
#define NAT_PORT_SHIFT 0      /* 16 bits: the endpoint's own port, host order */
#define NAT_ENDPOINT_SHIFT 16 /* 16 bits: the endpoint's slot */
#define NAT_USERS_SHIFT 32    /* 16 bits: connections */
#define NAT_FREED_SHIFT 48    /* 16 bits: when the last one ended, clock units >> NAT_CLOCK_SHIFT, wraps */
#define NAT_CLOCK_SHIFT 6

/* What names a NAT binding. */
struct binding_key {
	__u8 address; /* index of its nat_address */
	__u8 proto;   /* enum nat_proto */
	__u16 endpoint;
	__u16 port; /* the endpoint's, host order */
	__u16 pad;
};

_Static_assert(sizeof(struct binding_key) == 8, "shared layout");

/* A non-first fragment has no ports: its first fragment leaves them here. */
struct fragment_key {
	struct nsbpf_addr saddr;
	struct nsbpf_addr daddr;
	__be32 id;  /* as in the header; IPv4's has 16 bits */
	__u8 proto; /* 0 for IPv6: what follows the fragment header need not be the L4 protocol yet (RFC 8200 4.5) */
	__u8 pad[3];
};

_Static_assert(sizeof(struct fragment_key) == 40, "shared layout");

struct fragment_ports {
	__be16 sport;
	__be16 dport;
	__u32 seen; /* unit: see NSBPF_CLOCK_SHIFT */
	__u8 proto;
	__u8 pad[3];
};

_Static_assert(sizeof(struct fragment_ports) == 12, "shared layout");

/* Fragments that came before their first one are held in a pool, for all datagrams together. */
#define NSBPF_HELD_FRAGMENTS 256 /* slots of the pool; the oldest is used again */
#define NSBPF_HELD_OF_ONE 48     /* of one datagram: 64 KiB are 45 of 1500 bytes */
#define NSBPF_HELD_SIZE 9216     /* bytes of frame; larger ones are not held */

struct held_fragment {
	struct fragment_key datagram; /* whose it is now */
	__u32 length;                 /* of the frame; 0: nothing is held here */
	__u32 seen;                   /* unit: see NSBPF_CLOCK_SHIFT */
	__u8 frame[NSBPF_HELD_SIZE];
};

_Static_assert(sizeof(struct held_fragment) == 9264, "shared layout");

/* Which slots of the pool a datagram has. */
struct held_datagram {
	__u32 count;
	__u16 slots[NSBPF_HELD_OF_ONE];
};

_Static_assert(sizeof(struct held_datagram) == 100, "shared layout");

/* How many ICMP errors may be sent: a token bucket, as the kernel's (inet_peer_xrlim_allow, icmp_global_allow). */
struct icmp_rate {
	__u32 refilled; /* unit: see NSBPF_CLOCK_SHIFT */
	__u32 tokens;   /* in clock units as well: a second's worth buys one message, or 1000 of all together */
};

_Static_assert(sizeof(struct icmp_rate) == 8, "shared layout");

/* What a host socket asked for, and where the hooks sent it instead. */
#define NSBPF_SOCKET_PEERS 4 /* an unconnected UDP socket may talk to several exposed ports at once */
struct socket_peer {
	struct nsbpf_addr asked;
	struct nsbpf_addr given;
	__be16 asked_port;
	__be16 given_port;
};

struct host_socket_peers {
	struct socket_peer peers[NSBPF_SOCKET_PEERS];
	__u32 next; /* the slot to use next, modulo NSBPF_SOCKET_PEERS */
	__u8 proto;
	__u8 pad[3];
};

_Static_assert(sizeof(struct host_socket_peers) == 152, "shared layout");

/* What user space asks the program tell_route, and is told. */
struct route_question {
	struct tuple tuple;
	__u32 network; /* slot of the endpoint's; 0: not an endpoint's packet */
	__u32 pad;
};

_Static_assert(sizeof(struct route_question) == 48, "shared layout");

struct route_told {
	struct nsbpf_addr nexthop; /* all zero: the kernel finds it */
	__u32 oif;
	__u16 mtu; /* 0 where the FIB does not say */
	__u8 dropped;
	__u8 reason; /* ... for which enum drop_reason */
	__u8 local;  /* an address of the host, or a broadcast address */
	__u8 pad[7];
};

_Static_assert(sizeof(struct route_told) == 32, "shared layout");

#endif
