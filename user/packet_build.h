/* SPDX-License-Identifier: GPL-2.0-only */
/* A packet as somebody might send it, to be run through the datapath. */
#ifndef NSBPF_PACKET_BUILD_H
#define NSBPF_PACKET_BUILD_H

#include <stdbool.h>
#include <stddef.h>

#include "nsbpf/types.h"

/* What a test run of a BPF program takes: a page, less what the kernel has around the packet. */
#define PACKET_MAX 3000

struct packet_spec {
	struct tuple tuple; /* TCP, UDP, or ICMP's echo request of its family, by its identifier */
	bool established;   /* TCP: in the middle of a connection, and not its SYN */
	unsigned int size;  /* of the IP datagram; 0: nothing behind the headers */
	unsigned char from_mac[6];
	unsigned char to_mac[6];
};

/* How large an IP datagram is at least. */
unsigned int packet_least(const struct tuple *tuple);

/* Two bytes before the Ethernet header align the IP header, as the kernel does (NET_IP_ALIGN). */
struct packet_frame {
	unsigned char pad[2];
	unsigned char bytes[PACKET_MAX + 1024]; /* an ICMP error is longer than what it is about */
} __attribute__((aligned(8)));

/* The frame's length. */
size_t packet_build(const struct packet_spec *spec, struct packet_frame *frame);

/* If the frame is an ICMP error, "time exceeded" and the like, else NULL. */
const char *packet_icmp_error(const struct packet_frame *frame, size_t length);

#endif
