/* SPDX-License-Identifier: GPL-2.0-only */
/* What the load generators share: an address from their command line, the time, and the length of a run. */
#ifndef NSBPF_BENCH_LOAD_H
#define NSBPF_BENCH_LOAD_H

#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>

/* Of either family, and as large as that family's calls want it. */
struct address {
	union {
		struct sockaddr any;
		struct sockaddr_in sin;
		struct sockaddr_in6 sin6;
	};
	socklen_t size;
};

static inline unsigned long parse_number(const char *text, unsigned long min, unsigned long max)
{
	char *end;
	unsigned long number = strtoul(text, &end, 10);

	if (!*text || *end || number < min || number > max)
		errx(1, "not a number from %lu to %lu: %s", min, max, text);
	return number;
}

static inline struct address parse_address(const char *address, const char *port)
{
	struct address result = { .size = sizeof(result.sin) };

	result.sin.sin_family = AF_INET;
	result.sin.sin_port = htons(parse_number(port, 1, 65535)); /* at the same place in both */
	if (inet_pton(AF_INET, address, &result.sin.sin_addr) == 1)
		return result;
	result.size = sizeof(result.sin6);
	result.sin6.sin6_family = AF_INET6;
	if (inet_pton(AF_INET6, address, &result.sin6.sin6_addr) != 1)
		errx(1, "not an address: %s", address);
	return result;
}

static inline double parse_seconds(const char *text)
{
	char *end;
	double seconds = strtod(text, &end);

	if (!*text || *end || !(seconds > 0 && seconds <= 3600))
		errx(1, "not a number of seconds: %s", text);
	return seconds;
}

static inline double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

/* A socket that waits for its peer no longer than this: a run whose packets are lost has to fail, not to hang. */
static inline int open_socket(const struct address *address, int type, int timeout)
{
	const struct timeval limit = { .tv_sec = timeout };
	int fd = socket(address->any.sa_family, type | SOCK_CLOEXEC, 0);

	if (fd < 0)
		err(1, "socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)))
		err(1, "setsockopt");
	return fd;
}

static inline void set_option(int fd, int level, int option, int value)
{
	if (setsockopt(fd, level, option, &value, sizeof(value)))
		err(1, "setsockopt");
}

#endif
