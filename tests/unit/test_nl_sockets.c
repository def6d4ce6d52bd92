/* SPDX-License-Identifier: GPL-2.0-only */
/* Who holds a port, against the real kernel and real sockets. */
#include "bound_socket.h"

#include <string.h>
#include <sys/prctl.h>

struct socket_search {
	unsigned short port;
	int found;
	struct host_socket socket;
};

static int search_socket(const struct host_socket *socket, void *arg)
{
	struct socket_search *search = arg;

	if (socket->port != search->port)
		return 0;
	search->found++;
	search->socket = *socket;
	return 0;
}

static void finds_sockets(void **state)
{
	static const struct {
		const char *text;
		const char *listed;
		int v6only; /* as asked for */
		bool listed_v6only;
	} cases[] = {
		{ "0.0.0.0", "0.0.0.0", 0, false },
		{ "127.0.0.1", "127.0.0.1", 0, false },
		{ "::", "::", 0, false },
		{ "::", "::", 1, true },
		{ "::1", "::1", 0, true },
		{ "::ffff:127.0.0.1", "127.0.0.1", 0, false },
		{ "::ffff:0.0.0.0", "0.0.0.0", 0, false },
	};

	(void)state;
	need_root();
	for (unsigned int i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
		bool tcp = i % 2;
		struct socket_search search = { 0 };
		int fd = bound_socket(tcp ? SOCK_STREAM : SOCK_DGRAM, cases[i / 2].text, cases[i / 2].v6only,
				      &search.port);
		struct stat status;

		assert_return_code(fstat(fd, &status), errno);
		assert_int_equal(host_socket_each(tcp ? IPPROTO_TCP : IPPROTO_UDP, search_socket, &search), 0);
		assert_int_equal(search.found, 1);
		assert_addr(&search.socket.addr, cases[i / 2].listed);
		assert_int_equal(search.socket.v6only, cases[i / 2].listed_v6only);
		assert_int_equal(search.socket.inode, status.st_ino);
		search.found = 0;
		assert_int_equal(host_socket_each(tcp ? IPPROTO_UDP : IPPROTO_TCP, search_socket, &search), 0);
		assert_int_equal(search.found, 0);
		enter(peer);
		assert_int_equal(host_socket_each(tcp ? IPPROTO_TCP : IPPROTO_UDP, search_socket, &search), 0);
		assert_int_equal(search.found, 0);
		enter(host);
		close(fd);
	}
}

static int stop(const struct host_socket *socket, void *arg)
{
	(void)socket;
	++*(int *)arg;
	return 17;
}

static void finds_connected_sockets(void **state)
{
	struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons(53) };
	struct socket_search search = { 0 };
	int fd, calls = 0;

	(void)state;
	need_root();
	fd = bound_socket(SOCK_DGRAM, "::", 0, &search.port);
	to.sin6_addr = in6addr_loopback;
	assert_return_code(connect(fd, (struct sockaddr *)&to, sizeof(to)), errno);
	assert_int_equal(host_socket_each(IPPROTO_UDP, search_socket, &search), 0);
	assert_int_equal(search.found, 1);
	assert_addr(&search.socket.addr, "::1");
	assert_true(search.socket.v6only);
	assert_int_equal(host_socket_each(IPPROTO_UDP, stop, &calls), 17);
	assert_int_equal(calls, 1);
	close(fd);

	/* a TCP socket that is bound but does not listen takes no connection */
	fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_return_code(fd, errno);
	assert_return_code(bind(fd, (struct sockaddr *)&(struct sockaddr_in6){ .sin6_family = AF_INET6 }, sizeof(to)),
			   errno);
	calls = 0;
	assert_int_equal(host_socket_each(IPPROTO_TCP, stop, &calls), 0);
	close(fd);
}

static void names_holder(void **state)
{
	char text[64] = "untouched", expected[64], name[16] = "";
	struct stat status;
	unsigned short port;
	int fd;

	(void)state;
	need_root();
	fd = bound_socket(SOCK_DGRAM, "0.0.0.0", 0, &port);
	assert_return_code(fstat(fd, &status), errno);
	assert_return_code(prctl(PR_GET_NAME, name), errno);
	assert_return_code(prctl(PR_SET_NAME, "a\033[2Jb\nc\x7f\xff"), errno);
	snprintf(expected, sizeof(expected), "pid %d (a?[2Jb?c?\?)", getpid());
	assert_int_equal(host_socket_holder(status.st_ino, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
	assert_return_code(prctl(PR_SET_NAME, name), errno);
	snprintf(expected, sizeof(expected), "pid %d (%s)", getpid(), name);
	assert_int_equal(host_socket_holder(status.st_ino, text, sizeof(text)), 0);
	assert_string_equal(text, expected);
	assert_int_equal(host_socket_holder(status.st_ino, text, 5), 0);
	assert_string_equal(text, "pid ");
	close(fd);
	snprintf(text, sizeof(text), "untouched");
	assert_int_equal(host_socket_holder(status.st_ino, text, sizeof(text)), -ENOENT);
	assert_string_equal(text, "untouched");
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		NETNS_TEST(finds_sockets),
		NETNS_TEST(finds_connected_sockets),
		NETNS_TEST(names_holder),
	};

	return cmocka_run_group_tests_name("nl_sockets", tests, NULL, NULL);
}
