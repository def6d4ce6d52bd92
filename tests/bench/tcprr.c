/* SPDX-License-Identifier: GPL-2.0-only */
/* TCP transactions one after the other: a byte there and a byte back, on one connection or each on its own. */
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "load.h"

#define PATIENCE 5 /* seconds: longer than the second after which a lost SYN is sent again */

/* The requests. */
#define KEEP 'k'
#define CLOSE 'c'

static void answer(int client)
{
	_cleanup_close_ int fd = client;
	char request;

	/*
	 * The server closes first, as in HTTP/1.0: so TIME_WAIT is here, where a new SYN ends it, and the client never
	 * runs out of ports. An error is the client's, which left in the middle; it is the client who tells.
	 */
	while (read(fd, &request, 1) == 1 && write(fd, &request, 1) == 1 && request != CLOSE)
		;
}

static void serve(const struct address *at)
{
	_cleanup_close_ int listener = open_socket(at, SOCK_STREAM, 0);
	int fd;

	set_option(listener, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(listener, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets have it from here */
	if (bind(listener, &at->any, at->size) || listen(listener, 128))
		err(1, "listen");
	puts("ready");
	fflush(stdout);
	for (;;) {
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			answer(fd);
		else if (errno != ECONNABORTED && errno != EINTR)
			err(1, "accept");
	}
}

static int open_connection(const struct address *to)
{
	int fd = open_socket(to, SOCK_STREAM, PATIENCE);

	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1);
	if (connect(fd, &to->any, to->size)) {
		if (errno == EINPROGRESS) /* this is how SO_SNDTIMEO ends it */
			errno = ETIMEDOUT;
		err(1, "connect");
	}
	return fd;
}

static void ask(int fd, char request)
{
	char reply;

	if (write(fd, &request, 1) != 1)
		err(1, "write");
	errno = 0;
	if (read(fd, &reply, 1) != 1)
		err(1, "no answer");
}

static void await_close(int fd)
{
	char nothing;

	if (read(fd, &nothing, 1))
		err(1, "the server did not close");
}

static void requests(const struct address *to, double seconds)
{
	_cleanup_close_ int fd = open_connection(to);
	unsigned long transactions = 0;
	double start = now(), end;

	for (end = start; end < start + seconds; end = now()) {
		ask(fd, KEEP);
		transactions++;
	}
	printf("{\"transactions\": %lu, \"seconds\": %f}\n", transactions, end - start);
}

static void connections(const struct address *to, double seconds)
{
	unsigned long transactions = 0;
	double start = now(), end;

	for (end = start; end < start + seconds; end = now()) {
		_cleanup_close_ int fd = open_connection(to);

		ask(fd, CLOSE);
		await_close(fd);
		transactions++;
	}
	printf("{\"transactions\": %lu, \"seconds\": %f}\n", transactions, end - start);
}

int main(int argc, char **argv)
{
	struct address address;

	if (argc < 4)
		errx(1, "usage: tcprr serve ADDRESS PORT | tcprr requests|connections ADDRESS PORT SECONDS");
	address = parse_address(argv[2], argv[3]);
	if (!strcmp(argv[1], "serve") && argc == 4)
		serve(&address);
	else if (!strcmp(argv[1], "requests") && argc == 5)
		requests(&address, parse_seconds(argv[4]));
	else if (!strcmp(argv[1], "connections") && argc == 5)
		connections(&address, parse_seconds(argv[4]));
	else
		errx(1, "not known: %s, or not with so many words", argv[1]);
	return 0;
}
