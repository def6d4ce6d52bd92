/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * New connections: one small UDP packet from each of many ports to each of many ports, and when another machine hears
 * from each. A raw socket sends them, as one socket for each source port would take longer than what is measured.
 */
#include <errno.h>
#include <netinet/udp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "cleanup.h"
#include "load.h"

#define BATCH 64
#define RECEIVE_BUFFER (64 << 20)
#define PATIENCE 5 /* seconds that a receiver waits for the first packet, or a sender for room */
#define MAX_FLOWS (1 << 22)

struct datagram {
	struct udphdr udp;
	char payload[18];
};

static struct datagram datagrams[BATCH];
static struct iovec iovecs[BATCH];
static struct mmsghdr messages[BATCH];

static void send_batch(int fd, int count)
{
	for (int sent = 0, n; sent<count; sent += n> 0 ? n : 0) {
		n = sendmmsg(fd, messages + sent, count - sent, 0);
		/* Nobody there, or not for us: another flow may have more luck. No buffers: the device is behind. */
		if (n < 0 && errno != ENOBUFS && errno != ECONNREFUSED && errno != EACCES && errno != EHOSTUNREACH)
			err(1, "sendmmsg");
	}
}

/* UDP's checksum is optional in IPv4, in IPv6 the kernel fills it in. */
static int open_raw(const struct address *to)
{
	int fd = socket(to->any.sa_family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_UDP);
	struct address host = *to;

	host.sin.sin_port = 0;
	if (fd < 0 || connect(fd, &host.any, host.size))
		err(1, "raw socket");
	if (to->any.sa_family == AF_INET6)
		set_option(fd, IPPROTO_IPV6, IPV6_CHECKSUM, offsetof(struct udphdr, check));
	return fd;
}

static void send_flows(const struct address *to, unsigned long sports, unsigned long dports)
{
	_cleanup_close_ int fd = open_raw(to);
	unsigned long first = 65536 - sports, flows = sports * dports;

	for (int i = 0; i < BATCH; i++) {
		datagrams[i].udp.len = htons(sizeof(datagrams[i]));
		iovecs[i] = (struct iovec){ &datagrams[i], sizeof(datagrams[i]) };
		messages[i].msg_hdr.msg_iov = &iovecs[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	for (unsigned long flow = 0; flow < flows; flow += BATCH) {
		int count = flows - flow < BATCH ? flows - flow : BATCH;

		for (int i = 0; i < count; i++) {
			datagrams[i].udp.source = htons(first + (flow + i) % sports);
			datagrams[i].udp.dest = htons(ntohs(to->sin.sin_port) + (flow + i) / sports);
		}
		send_batch(fd, count);
	}
}

/* The sender's. */
static int receive_port(int fd)
{
	struct address from = { .size = sizeof(from.sin6) };
	char nothing[64];

	if (recvfrom(fd, nothing, sizeof(nothing), 0, &from.any, &from.size) < 0)
		return -1;
	return ntohs(from.sin.sin_port); /* at the same place in both families */
}

/* Until none has come for so many seconds. The time is that of the first ones: the last may come in drops. */
static void receive_flows(const struct address *at, double silence, unsigned long first)
{
	_cleanup_close_ int fd = open_socket(at, SOCK_DGRAM, PATIENCE);
	const struct timeval limit = { .tv_sec = silence, .tv_usec = (silence - (long)silence) * 1e6 };
	static bool seen[65536];
	unsigned long flows = 0, ports = 0;
	double start = 0, reached = 0;
	int port;

	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
	if (bind(fd, &at->any, at->size))
		err(1, "bind");
	puts("ready");
	fflush(stdout);

	while ((port = receive_port(fd)) >= 0) {
		if (!flows++) {
			start = now();
			if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
				err(1, "setsockopt");
		}
		if (flows == first)
			reached = now();
		ports += !seen[port];
		seen[port] = true;
	}
	if (errno != EAGAIN)
		err(1, "recv");
	if (flows < first)
		errx(1, "%lu flows instead of %lu", flows, first);
	printf("{\"flows\": %lu, \"ports\": %lu, \"first\": %lu, \"seconds\": %f}\n", flows, ports, first,
	       reached - start);
}

int main(int argc, char **argv)
{
	struct address address;
	unsigned long sports, dports;

	if (argc != 6)
		errx(1,
		     "usage: udpflows send ADDRESS PORT SPORTS DPORTS | udpflows receive ADDRESS PORT SILENCE FIRST");
	address = parse_address(argv[2], argv[3]);
	if (!strcmp(argv[1], "send")) {
		sports = parse_number(argv[4], 1, 65535);
		dports = parse_number(argv[5], 1, 65536 - ntohs(address.sin.sin_port));
		if (sports * dports > MAX_FLOWS)
			errx(1, "more than %d flows", MAX_FLOWS);
		send_flows(&address, sports, dports);
	} else if (!strcmp(argv[1], "receive")) {
		receive_flows(&address, parse_seconds(argv[4]), parse_number(argv[5], 1, MAX_FLOWS));
	} else {
		errx(1, "not known: %s", argv[1]);
	}
	return 0;
}
