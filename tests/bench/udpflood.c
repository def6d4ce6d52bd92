/* SPDX-License-Identifier: GPL-2.0-only */
/* As many UDP packets of one size as one socket can send, and how many of them another one receives. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "cleanup.h"
#include "load.h"

#define BATCH 64
#define MAX_PAYLOAD 1472
#define RECEIVE_BUFFER (8 << 20)
#define PATIENCE 5 /* seconds that a receiver waits for a packet */

static char payloads[BATCH][MAX_PAYLOAD];
static struct iovec iovecs[BATCH];
static struct mmsghdr messages[BATCH];

static void prepare_messages(size_t payload)
{
	for (int i = 0; i < BATCH; i++) {
		iovecs[i].iov_base = payloads[i];
		iovecs[i].iov_len = payload;
		messages[i].msg_hdr.msg_iov = &iovecs[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void send_flood(const struct address *to, double seconds)
{
	_cleanup_close_ int fd = open_socket(to, SOCK_DGRAM, PATIENCE);
	double end;

	/* Connected, so that the route is looked up once and every packet is of one flow. */
	if (connect(fd, &to->any, to->size))
		err(1, "connect");
	for (end = now() + seconds; now() < end;)
		/* Refused: the receiver has seen enough and left. No buffers: the device is behind. */
		if (sendmmsg(fd, messages, BATCH, 0) < 0 && errno != ECONNREFUSED && errno != ENOBUFS)
			err(1, "sendmmsg");
}

static int receive_batch(int fd)
{
	int n = recvmmsg(fd, messages, BATCH, MSG_WAITFORONE, NULL);

	if (n < 0)
		err(1, "no packet for %d seconds", PATIENCE);
	return n;
}

/* The time counts from the first packet on, so neither side has to know when the other starts. */
static void receive_flood(const struct address *at, double seconds)
{
	_cleanup_close_ int fd = open_socket(at, SOCK_DGRAM, PATIENCE);
	unsigned long packets = 0;
	double start, end;

	set_option(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER);
	if (bind(fd, &at->any, at->size))
		err(1, "bind");
	puts("ready");
	fflush(stdout);

	receive_batch(fd);
	for (start = end = now(); end < start + seconds; end = now())
		packets += receive_batch(fd);
	printf("{\"packets\": %lu, \"seconds\": %f}\n", packets, end - start);
}

int main(int argc, char **argv)
{
	struct address address;

	if (argc < 5)
		errx(1, "usage: udpflood send ADDRESS PORT SECONDS PAYLOAD | udpflood receive ADDRESS PORT SECONDS");
	address = parse_address(argv[2], argv[3]);
	if (!strcmp(argv[1], "send") && argc == 6) {
		prepare_messages(parse_number(argv[5], 1, MAX_PAYLOAD));
		send_flood(&address, parse_seconds(argv[4]));
	} else if (!strcmp(argv[1], "receive") && argc == 5) {
		prepare_messages(MAX_PAYLOAD);
		receive_flood(&address, parse_seconds(argv[4]));
	} else {
		errx(1, "not known: %s, or not with so many words", argv[1]);
	}
	return 0;
}
