/* SPDX-License-Identifier: GPL-2.0-only */
/* What the stages know of the packet at hand, and what a stage answers. */
#ifndef NSBPF_BPF_PACKET_H
#define NSBPF_BPF_PACKET_H

#define ETH_HLEN 14
#define ETH_ALEN 6
#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_IPV6 0x86dd
#define IP_MF 0x2000
#define IP_OFFSET 0x1fff

#define TC_ACT_UNSPEC -1 /* the same number as TCX_NEXT: whoever else is attached has his turn */
#define TC_ACT_SHOT 2

#define PACKET_HOST 0

#define AF_INET 2
#define AF_INET6 10

/* For the compiler, which puts the likely way in one piece. */
#define likely(x) __builtin_expect(!!(x), 1)

/* A stage's result. */
enum verdict {
	VERDICT_CONTINUE, /* the next stage decides */
	VERDICT_PASS,     /* to the host's stack, unchanged */
	VERDICT_DROP,     /* packet.reason says why */
	VERDICT_REDIRECT, /* packet.action is what the redirect helper returned */
	VERDICT_CONSUMED, /* gone another way already, or heard and nobody's business */
	VERDICT_OPEN,     /* to be a connection's first packet, as the plan has it */
};

enum l4_kind {
	L4_PORTS, /* TCP or UDP: the tuple is whole */
	L4_ECHO,  /* ICMP or ICMPv6 echo request: so it is here */
	L4_ECHO_REPLY,
	L4_ICMP_OTHER, /* any other ICMP or ICMPv6 message */
	L4_FRAGMENT,   /* not the first: the ports are not in the packet */
	L4_UNKNOWN,    /* a protocol without ports */
};

struct packet {
	struct tuple tuple;
	__u32 endpoint; /* slot of the sender, 0 if it came from an uplink */
	union {
		int action;          /* VERDICT_REDIRECT: what the helper returned */
		struct {             /* VERDICT_DROP */
			__u16 mtu;   /* what the sender is told, if it was too big */
			__u8 reason; /* enum drop_reason */
		};
	};
	__be32 fragment_id;
	__u32 length;   /* of the IP datagram */
	__u8 l4;        /* offset of the L4 header in the frame */
	__u8 kind;      /* enum l4_kind */
	__u8 l4_length; /* of its header */
	__u8 tcp_flags; /* byte 13 of the TCP header */
	__u8 ttl;       /* IPv6: the hop limit */
	__u8 tos;       /* and the traffic class */
	bool ipv6;
	bool first_fragment : 1;
	bool watched : 1; /* a listener wants to know what becomes of it */
};

_Static_assert(sizeof(struct packet) == 64, "on the stack of every program, where each byte counts");

#define TCP_FIN 0x01
#define TCP_SYN 0x02
#define TCP_RST 0x04
#define TCP_ACK 0x10

static __always_inline enum verdict drop(struct packet *p, enum drop_reason reason)
{
	p->reason = reason;
	return VERDICT_DROP;
}

static __always_inline void *packet_data(struct __sk_buff *skb)
{
	asm volatile("" : "+r"(skb)); /* loaded anew each time: what came by two ways is no pointer to the verifier */
	return (void *)(long)skb->data;
}

static __always_inline void *packet_end(struct __sk_buff *skb)
{
	asm volatile("" : "+r"(skb));
	return (void *)(long)skb->data_end;
}

static __always_inline void *packet_l4(struct __sk_buff *skb, const struct packet *p)
{
	return packet_data(skb) + p->l4;
}

/* The slot of a host veth, 0 if the device is none of ours. */
static __always_inline __u32 endpoint_slot(__u32 ifindex)
{
	__u32 slot = ifindex - NSBPF_IFINDEX_BASE;

	return slot < NSBPF_MAX_ENDPOINTS ? slot : 0;
}

/*
 * Is it within these bounds? Asked so that Linux 6.1's verifier learns the answer as well: one comparison at a time,
 * each with a constant, and of the very register that goes on to be used. The compiler would make one check of both, on
 * a copy.
 */
static __always_inline bool length_is_within(__u32 *length, __u32 least, __u32 most)
{
	asm volatile("" : "+r"(least)); /* or a least of 1 becomes a comparison with 0, which teaches nothing */
	asm volatile("" : "+r"(*length));
	if (*length > most)
		return false;
	asm volatile("" : "+r"(*length));
	return *length >= least;
}

/* Does this packet carry an L4 header whose ports and checksum have to follow a rewrite? */
static __always_inline bool packet_has_l4(const struct packet *p)
{
	return p->kind == L4_PORTS || p->kind == L4_ECHO || p->kind == L4_ECHO_REPLY;
}

#endif
