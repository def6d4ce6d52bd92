/* SPDX-License-Identifier: GPL-2.0-only */
/* For tests of the netlink layer: each has two network namespaces of its own, which end with it. Needs root. */
#ifndef NSBPF_NETNS_FIXTURE_H
#define NSBPF_NETNS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "addr.h"
#include "nl.h"

#define HOST_IFINDEX (NSBPF_IFINDEX_BASE + 1)

static const unsigned char host_mac[6] = { 2, 0, 0, 0, 0, 1 };
static const unsigned char ns_mac[6] = { 2, 0, 0, 0, 0, 2 };

static int outside = -1; /* the namespace that the test was started in */
static int host = -1, peer = -1;
static struct nl *nl; /* in host */

static inline void enter(int netns)
{
	assert_return_code(setns(netns, CLONE_NEWNET), errno);
}

static inline int own_netns(void)
{
	int fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	assert_return_code(fd, errno);
	return fd;
}

static inline int setup(void **state)
{
	(void)state;
	if (geteuid())
		return 0;
	outside = own_netns();
	assert_return_code(unshare(CLONE_NEWNET), errno);
	peer = own_netns();
	assert_return_code(unshare(CLONE_NEWNET), errno);
	host = own_netns();
	assert_int_equal(nl_open(&nl), 0);
	assert_int_equal(link_set_up(nl, 1), 0);
	return 0;
}

static inline int teardown(void **state)
{
	(void)state;
	nl_close(nl);
	nl = NULL;
	if (outside < 0)
		return 0;
	enter(outside);
	close(outside);
	close(host);
	close(peer);
	outside = host = peer = -1;
	return 0;
}

static inline void need_root(void)
{
	if (geteuid())
		skip();
}

static inline struct nsbpf_addr address(const char *text)
{
	struct nsbpf_addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static inline void assert_addr(const struct nsbpf_addr *addr, const char *text)
{
	char buffer[ADDR_TEXT];

	assert_string_equal(addr_format(addr, buffer), text);
}

/* A number from a file below /proc/sys/net, which shows the caller's network namespace. */
static inline int sysctl_get(const char *path)
{
	FILE *f = fopen(path, "re");
	int value;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%d", &value), 1);
	fclose(f);
	return value;
}

static inline struct veth test_veth(void)
{
	return (struct veth){
		.ifindex = HOST_IFINDEX,
		.name = "nlhost0",
		.alias = "nsbpf test",
		.mac = host_mac,
		.ns_name = "nlpeer0",
		.ns_mac = ns_mac,
		.ns_fd = peer,
		.mtu = 1400,
	};
}

/* The usual pair, both ends up. Returns the socket in the peer's namespace. */
static inline struct nl *add_pair(unsigned int *ns_ifindex)
{
	const struct veth veth = test_veth();
	struct link link;
	struct nl *ns;

	assert_int_equal(link_add_veth(nl, &veth), 0);
	assert_int_equal(nl_open_at(&ns, peer), 0);
	assert_int_equal(link_get(ns, "nlpeer0", &link), 0);
	assert_int_equal(link_set_up(nl, HOST_IFINDEX), 0);
	assert_int_equal(link_set_up(ns, link.ifindex), 0);
	*ns_ifindex = link.ifindex;
	return ns;
}

#define NETNS_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
