/* SPDX-License-Identifier: GPL-2.0-only */
/* A socket that holds a port, of either family. */
#ifndef NSBPF_BOUND_SOCKET_H
#define NSBPF_BOUND_SOCKET_H

#include "netns_fixture.h"

#include <arpa/inet.h>
#include <sys/socket.h>

/* A bound (TCP: listening) socket; its port is the kernel's choice. */
static inline int bound_socket(int type, const char *text, int v6only, unsigned short *port)
{
	struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6 };
	struct sockaddr_in sin = { .sin_family = AF_INET };
	bool is4 = inet_pton(AF_INET, text, &sin.sin_addr) == 1;
	struct sockaddr *sa = is4 ? (struct sockaddr *)&sin : (struct sockaddr *)&sin6;
	socklen_t size = is4 ? sizeof(sin) : sizeof(sin6);
	int fd = socket(is4 ? AF_INET : AF_INET6, type | SOCK_CLOEXEC, 0);

	assert_return_code(fd, errno);
	if (!is4) {
		assert_int_equal(inet_pton(AF_INET6, text, &sin6.sin6_addr), 1);
		assert_return_code(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only)), errno);
	}
	assert_return_code(bind(fd, sa, size), errno);
	assert_return_code(getsockname(fd, sa, &size), errno);
	*port = ntohs(is4 ? sin.sin_port : sin6.sin6_port);
	if (type == SOCK_STREAM)
		assert_return_code(listen(fd, 1), errno);
	return fd;
}

#endif
