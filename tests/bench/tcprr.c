/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP transactions one after the other: a byte there and a byte back, on one connection or each on its own.
 *
 * A closed connection is remembered for a minute or more by whoever closed it first, and by connection tracking. Coming
 * upon such a memory costs other work than a new connection does, and how often that happens would depend on what ran
 * before. So the server closes first, as in HTTP/1.0: it keeps all TIME_WAIT, the client takes the next of its ports
 * each time. And it takes turns with the server's ports: the pairs last for several times 28,000 connections.
 */
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "load.h"

#define PATIENCE 5 /* seconds: longer than the second after which a lost SYN is sent again */
#define MAX_PORTS 16

/* The requests. */
#define KEEP 'k'
#define CLOSE 'c'

static struct address servers[MAX_PORTS];
static int server_count;

static void parse_servers(const char *address, char *ports)
{
	for (char *port = strtok(ports, ","); port; port = strtok(NULL, ",")) {
		if (server_count == MAX_PORTS)
			errx(1, "more than %d ports", MAX_PORTS);
		servers[server_count++] = parse_address(address, port);
	}
	if (!server_count)
		errx(1, "no port");
}

static void answer(int client)
{
	_cleanup_close_ int fd = client;
	char request;

	/* An error is the client's, which left in the middle; it is the client who tells. */
	while (read(fd, &request, 1) == 1 && write(fd, &request, 1) == 1 && request != CLOSE)
		;
}

static int open_listener(const struct address *at)
{
	int fd = open_socket(at, SOCK_STREAM, 0);

	set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1); /* accepted sockets have it from here */
	if (bind(fd, &at->any, at->size) || listen(fd, 128))
		err(1, "listen");
	return fd;
}

static void serve(void)
{
	struct pollfd listeners[MAX_PORTS];
	int fd;

	for (int i = 0; i < server_count; i++)
		listeners[i] = (struct pollfd){ .fd = open_listener(&servers[i]), .events = POLLIN };
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(listeners, server_count, -1) < 0)
			err(1, "poll");
		for (int i = 0; i < server_count; i++) {
			if (!listeners[i].revents)
				continue;
			fd = accept4(listeners[i].fd, NULL, NULL, SOCK_CLOEXEC);
			if (fd >= 0)
				answer(fd);
			else if (errno != ECONNABORTED && errno != EINTR)
				err(1, "accept");
		}
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

/* How long each transaction took. */
struct latencies {
	uint32_t *ns;
	size_t count, size;
};

static void note(struct latencies *l, double seconds)
{
	if (l->count == l->size) {
		l->size = l->size ? 2 * l->size : 1 << 16;
		l->ns = realloc(l->ns, l->size * sizeof(*l->ns));
		if (!l->ns)
			err(1, "realloc");
	}
	l->ns[l->count++] = seconds * 1e9;
}

static int compare_ns(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return (x > y) - (x < y);
}

static void tell(struct latencies *l, double seconds)
{
	qsort(l->ns, l->count, sizeof(*l->ns), compare_ns);
	printf("{\"transactions\": %zu, \"seconds\": %f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", l->count, seconds,
	       l->ns[l->count / 2] / 1e3, l->ns[l->count - 1 - l->count / 100] / 1e3);
	free(l->ns);
}

static void requests(double seconds)
{
	_cleanup_close_ int fd = open_connection(&servers[0]);
	struct latencies taken = {};
	double start = now(), last, end;

	for (end = start; end < start + seconds;) {
		last = end;
		ask(fd, KEEP);
		end = now();
		note(&taken, end - last);
	}
	tell(&taken, end - start);
}

static void connections(double seconds)
{
	struct latencies taken = {};
	double start = now(), last, end;

	for (end = start; end < start + seconds;) {
		last = end;
		_cleanup_close_ int fd = open_connection(&servers[taken.count % server_count]);

		ask(fd, CLOSE);
		await_close(fd);
		end = now();
		note(&taken, end - last);
	}
	tell(&taken, end - start);
}

int main(int argc, char **argv)
{
	if (argc < 4)
		errx(1, "usage: tcprr serve ADDRESS PORT,... | tcprr requests|connections ADDRESS PORT,... SECONDS");
	parse_servers(argv[2], argv[3]);
	if (!strcmp(argv[1], "serve") && argc == 4)
		serve();
	else if (!strcmp(argv[1], "requests") && argc == 5)
		requests(parse_seconds(argv[4]));
	else if (!strcmp(argv[1], "connections") && argc == 5)
		connections(parse_seconds(argv[4]));
	else
		errx(1, "not known: %s, or not with so many words", argv[1]);
	return 0;
}
