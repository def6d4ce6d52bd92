/* SPDX-License-Identifier: GPL-2.0-only */
/* Netlink sockets, dumps and devices against the real kernel. */
#include "netns_fixture.h"

#include <arpa/inet.h>
#include <net/if_arp.h>
#include <string.h>
#include <sys/wait.h>

static int count_link(const struct link *link, void *arg)
{
	(void)link;
	++*(int *)arg;
	return 0;
}

static int stop_at_second_link(const struct link *link, void *arg)
{
	(void)link;
	return ++*(int *)arg == 2 ? 42 : 0;
}

static void opens_at(void **state)
{
	struct stat before, after;
	struct nl *other = NULL;
	struct link link;
	int null = open("/dev/null", O_RDONLY | O_CLOEXEC);

	(void)state;
	need_root();
	assert_return_code(null, errno);
	assert_return_code(stat("/proc/thread-self/ns/net", &before), errno);
	assert_int_equal(nl_open_at(&other, null), -EINVAL);
	assert_int_equal(nl_open_at(&other, -1), -EBADF);
	assert_null(other);
	close(null);
	assert_int_equal(nl_open_at(&other, peer), 0);
	assert_return_code(stat("/proc/thread-self/ns/net", &after), errno);
	assert_int_equal(before.st_ino, after.st_ino);

	/* lo is up here and down there */
	assert_int_equal(link_get(nl, "lo", &link), 0);
	assert_true(link.flags & IFF_UP);
	assert_int_equal(link_get(other, "lo", &link), 0);
	assert_false(link.flags & IFF_UP);
	nl_close(other);
	nl_close(NULL);
}

static void finds_links(void **state)
{
	const struct link untouched = { .ifindex = 7, .name = "untouched" };
	struct link link = untouched;

	(void)state;
	need_root();
	assert_int_equal(link_get(nl, "nosuch", &link), -ENODEV);
	assert_int_equal(link_get(nl, "", &link), -ENODEV);
	assert_int_equal(link_get(nl, "a_name_longer_than_any", &link), -ENODEV);
	assert_int_equal(link_get_index(nl, 4711, &link), -ENODEV);
	assert_int_equal(link_get_index(nl, 0, &link), -ENODEV);
	assert_memory_equal(&link, &untouched, sizeof(link));

	assert_int_equal(link_get(nl, "lo", &link), 0);
	assert_int_equal(link.ifindex, 1);
	assert_int_equal(link.type, ARPHRD_LOOPBACK);
	assert_true(link.flags & IFF_LOOPBACK);
	assert_string_equal(link.alias, "");
	assert_int_equal(link.mtu, 65536);
	link = untouched;
	assert_int_equal(link_get_index(nl, 1, &link), 0);
	assert_string_equal(link.name, "lo");
}

static void adds_veth(void **state)
{
	const struct veth veth = test_veth();
	struct link link;
	struct nl *ns;

	(void)state;
	need_root();
	assert_int_equal(link_add_veth(nl, &veth), 0);
	assert_int_equal(link_get(nl, "nlhost0", &link), 0);
	assert_int_equal(link.ifindex, HOST_IFINDEX);
	assert_string_equal(link.alias, "nsbpf test");
	assert_int_equal(link.mtu, 1400);
	assert_int_equal(link.type, ARPHRD_ETHER);
	assert_memory_equal(link.mac, host_mac, 6);
	assert_false(link.flags & IFF_UP);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv4/conf/nlhost0/forwarding"), 0);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv4/conf/lo/forwarding"), 0);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv4/ip_forward"), 0);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv6/conf/nlhost0/addr_gen_mode"), 1);

	assert_int_equal(nl_open_at(&ns, peer), 0);
	assert_int_equal(link_get(ns, "nlpeer0", &link), 0);
	assert_string_equal(link.alias, "");
	assert_int_equal(link.mtu, 1400);
	assert_memory_equal(link.mac, ns_mac, 6);
	assert_false(link.flags & IFF_UP);
	enter(peer);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv4/conf/nlpeer0/forwarding"), 0);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv6/conf/nlpeer0/addr_gen_mode"), 0);
	enter(host);

	assert_int_equal(link_delete(nl, HOST_IFINDEX), 0);
	assert_int_equal(link_get(nl, "nlhost0", &link), -ENODEV);
	assert_int_equal(link_get(ns, "nlpeer0", &link), -ENODEV);
	assert_int_equal(link_delete(nl, HOST_IFINDEX), -ENODEV);
	assert_int_equal(link_delete(nl, 0), -ENODEV);
	assert_int_equal(link_set_up(nl, HOST_IFINDEX), -ENODEV);
	nl_close(ns);
}

static void refuses_veth(void **state)
{
	struct veth veth = test_veth();
	char alias[300] = "";
	struct link link;
	int links = 0;

	(void)state;
	need_root();
	memset(alias, 'x', sizeof(alias) - 1);
	veth.alias = alias;
	assert_int_equal(link_add_veth(nl, &veth), -EINVAL);
	veth = test_veth();
	veth.name = "a_name_longer_than_any";
	assert_int_equal(link_add_veth(nl, &veth), -EINVAL);
	veth = test_veth();
	veth.ns_fd = -1;
	assert_int_equal(link_add_veth(nl, &veth), -EBADF);
	veth = test_veth();
	veth.mtu = 10;
	assert_int_equal(link_add_veth(nl, &veth), -EINVAL);

	veth = test_veth();
	assert_int_equal(link_add_veth(nl, &veth), 0);
	assert_int_equal(link_add_veth(nl, &veth), -EEXIST);
	veth.ifindex++;
	assert_int_equal(link_add_veth(nl, &veth), -EEXIST); /* the host end's name */
	veth.name = "nlhost1";
	assert_int_equal(link_add_veth(nl, &veth), -EEXIST); /* the ns end's name */
	veth.ns_name = "nlpeer1";
	veth.ifindex = HOST_IFINDEX;
	assert_int_equal(link_add_veth(nl, &veth), -EEXIST);
	assert_int_equal(link_get(nl, "nlhost1", &link), -ENODEV);
	assert_int_equal(link_each(nl, count_link, &links), 0);
	assert_int_equal(links, 2);
}

/* The first 255 bytes of an alias are kept whole; a device without one has "". */
static void keeps_long_alias(void **state)
{
	struct veth veth = test_veth();
	char alias[256] = "";
	struct link link;

	(void)state;
	need_root();
	memset(alias, 'a', sizeof(alias) - 1);
	veth.alias = alias;
	assert_int_equal(link_add_veth(nl, &veth), 0);
	assert_int_equal(link_get_index(nl, HOST_IFINDEX, &link), 0);
	assert_string_equal(link.alias, alias);
	assert_int_equal(link_delete(nl, HOST_IFINDEX), 0);
	veth.alias = NULL;
	assert_int_equal(link_add_veth(nl, &veth), 0);
	assert_int_equal(link_get_index(nl, HOST_IFINDEX, &link), 0);
	assert_string_equal(link.alias, "");
}

/* An MTU below 1280 takes IPv6 off a device, as if the kernel had none. */
static void adds_veth_without_ipv6(void **state)
{
	struct veth veth = test_veth();
	struct link link;

	(void)state;
	need_root();
	veth.mtu = 1000;
	assert_int_equal(link_add_veth(nl, &veth), 0);
	assert_int_equal(link_get(nl, "nlhost0", &link), 0);
	assert_int_equal(link.mtu, 1000);
	assert_int_equal(sysctl_get("/proc/sys/net/ipv4/conf/nlhost0/forwarding"), 0);
}

static int delete_link(const struct link *link, void *arg)
{
	return link->ifindex == 1 ? 0 : link_delete(arg, link->ifindex);
}

/* More links than one datagram holds, and a callback that uses the socket of its own listing. */
static void lists_links(void **state)
{
	char name[18], ns_name[18]; /* room for any %d: under the sanitizers gcc knows no range of i */
	struct veth veth = test_veth();
	int links = 0;

	(void)state;
	need_root();
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "nlhost%d", i);
		snprintf(ns_name, sizeof(ns_name), "nlpeer%d", i);
		veth.name = name;
		veth.ns_name = ns_name;
		veth.ifindex = HOST_IFINDEX + i;
		assert_int_equal(link_add_veth(nl, &veth), 0);
	}
	assert_int_equal(link_each(nl, count_link, &links), 0);
	assert_int_equal(links, 41);
	links = 0;
	assert_int_equal(link_each(nl, stop_at_second_link, &links), 42);
	assert_int_equal(links, 2);
	assert_int_equal(link_each(nl, delete_link, nl), 0);
	links = 0;
	assert_int_equal(link_each(nl, count_link, &links), 0);
	assert_int_equal(links, 1);
}

static int count_addr(const struct link_addr *addr, void *arg)
{
	(void)addr;
	++*(int *)arg;
	return 0;
}

/* In another process: makes and deletes devices, which interrupts the listings of this one. */
static void churn(void)
{
	struct veth veth = test_veth();
	struct nl *other;

	veth.ifindex++;
	veth.name = "nlhost1";
	veth.ns_name = "nlpeer1";
	if (nl_open(&other))
		_exit(1);
	for (int i = 0; i < 30; i++)
		if (link_add_veth(other, &veth) || link_delete(other, veth.ifindex))
			_exit(1);
	nl_close(other);
	_exit(0);
}

/* A listing comes out whole while everything changes, or says -EAGAIN. */
static void survives_changes(void **state)
{
	struct link_addr addr = { .ifindex = 1, .addr = address("10.0.0.0"), .prefix = 32 };
	int status, listings = 0;
	pid_t child;

	(void)state;
	need_root();
	for (unsigned int i = 0; i < 500; i++) {
		addr.addr.words[3] = htonl(0x0a000000 + i);
		assert_int_equal(addr_add(nl, &addr, true), 0);
	}
	child = fork();
	assert_return_code(child, errno);
	if (!child)
		churn();
	while (waitpid(child, &status, WNOHANG) == 0) {
		int addrs = 0, err = addr_each(nl, 0, count_addr, &addrs);

		if (err)
			assert_int_equal(err, -EAGAIN);
		else
			assert_in_range(addrs, 500 + 1, 500 + 2); /* lo's own: 127.0.0.1 and ::1 */
		listings++;
		usleep(1000);
	}
	assert_int_equal(status, 0);
	assert_true(listings > 0);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		NETNS_TEST(opens_at),     NETNS_TEST(finds_links),      NETNS_TEST(adds_veth),
		NETNS_TEST(refuses_veth), NETNS_TEST(keeps_long_alias), NETNS_TEST(adds_veth_without_ipv6),
		NETNS_TEST(lists_links),  NETNS_TEST(survives_changes),
	};

	return cmocka_run_group_tests_name("nl", tests, NULL, NULL);
}
