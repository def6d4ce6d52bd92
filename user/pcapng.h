/* SPDX-License-Identifier: GPL-2.0-only */
/* Packets to a file that tcpdump and Wireshark read (draft-ietf-opsawg-pcapng). */
#ifndef NSBPF_PCAPNG_H
#define NSBPF_PCAPNG_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* The devices that the file has so far: what is written once for each. */
struct pcapng {
	FILE *file;
	__u32 snaplen; /* the same for all: libpcap takes no others */
	unsigned int *devices;
	size_t count;
};

struct pcapng_packet {
	unsigned int ifindex;
	const char *device;
	__u64 time; /* ns since 1970 */
	bool outbound;
	__u32 length; /* on the wire */
	__u32 captured;
	const void *bytes;
	const char *comment;
};

/* All return 0 or -errno. The file is the caller's; what pcapng has of its own goes with pcapng_end(). */
int pcapng_begin(struct pcapng *pcapng, FILE *file, __u32 snaplen);
int pcapng_write(struct pcapng *pcapng, const struct pcapng_packet *packet);
void pcapng_end(struct pcapng *pcapng);

#endif
