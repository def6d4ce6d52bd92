/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses and neighbours against the real kernel. */
#include "netns_fixture.h"
#include "nl_search.h"

#include <linux/if_addr.h>
#include <string.h>

static void adds_addresses(void **state)
{
	struct link_addr addr4 = { .addr = address("192.0.2.2"), .prefix = 24, .scope = RT_SCOPE_UNIVERSE };
	struct link_addr addr6 = { .addr = address("2001:db8::2"), .prefix = 64, .flags = IFA_F_NODAD };
	struct addr_search search;
	struct nl *ns;

	(void)state;
	need_root();
	ns = add_pair(&addr4.ifindex);
	addr6.ifindex = addr4.ifindex;
	assert_int_equal(find_addr(nl, HOST_IFINDEX, "192.0.2.2").on_device, 0); /* no link-local address */

	assert_int_equal(addr_add(ns, &addr4, false), 0);
	assert_int_equal(addr_add(ns, &addr6, false), 0);
	assert_int_equal(addr_add(ns, &addr4, false), -EEXIST);
	assert_int_equal(addr_add(ns, &addr6, false), -EEXIST);
	search = find_addr(ns, addr4.ifindex, "192.0.2.2");
	assert_true(search.found);
	assert_int_equal(search.wanted.prefix, 24);
	assert_int_equal(search.wanted.scope, RT_SCOPE_UNIVERSE);
	assert_true(search.wanted.flags & IFA_F_PERMANENT);
	search = find_addr(ns, addr4.ifindex, "2001:db8::2");
	assert_true(search.found);
	assert_int_equal(search.wanted.prefix, 64);
	assert_true(search.wanted.flags & IFA_F_NODAD);
	assert_false(search.wanted.flags & IFA_F_TENTATIVE);
	assert_int_equal(find_route(ns, "192.0.2.0", 24, RT_TABLE_MAIN).hops, 1);
	assert_int_equal(find_route(ns, "2001:db8::", 64, RT_TABLE_MAIN).hops, 1);

	addr4.ifindex = addr6.ifindex = 4711;
	assert_int_equal(addr_add(ns, &addr4, false), -ENODEV);
	assert_int_equal(addr_add(ns, &addr6, false), -ENODEV);
	nl_close(ns);
}

static void adds_addresses_without_routes(void **state)
{
	struct link_addr addr4 = { .ifindex = HOST_IFINDEX, .addr = address("192.0.2.1"), .prefix = 24 };
	struct link_addr addr6 = { .ifindex = HOST_IFINDEX, .addr = address("2001:db8::1"), .prefix = 64 };
	unsigned int ns_ifindex;
	struct addr_search search;

	(void)state;
	need_root();
	nl_close(add_pair(&ns_ifindex));
	assert_int_equal(addr_add(nl, &addr4, true), 0);
	assert_int_equal(addr_add(nl, &addr6, true), 0);
	search = find_addr(nl, HOST_IFINDEX, "192.0.2.1");
	assert_true(search.found);
	assert_true(search.wanted.flags & IFA_F_NOPREFIXROUTE);
	assert_true(find_addr(nl, HOST_IFINDEX, "2001:db8::1").wanted.flags & IFA_F_NOPREFIXROUTE);
	assert_int_equal(find_route(nl, "192.0.2.0", 24, RT_TABLE_MAIN).hops, 0);
	assert_int_equal(find_route(nl, "2001:db8::", 64, RT_TABLE_MAIN).hops, 0);
	assert_int_equal(find_route(nl, "192.0.2.1", 32, RT_TABLE_LOCAL).hops, 1);

	assert_int_equal(link_delete(nl, HOST_IFINDEX), 0);
	assert_false(find_addr(nl, HOST_IFINDEX, "192.0.2.1").found);
}

/* The device has IPv6, the namespace has it disabled: no listing fails, and an address says so. */
static void without_ipv6_in_namespace(void **state)
{
	struct link_addr addr6 = { .ifindex = HOST_IFINDEX, .addr = address("2001:db8::1"), .prefix = 64 };
	const char *files[] = { "/proc/sys/net/ipv6/conf/all/disable_ipv6",
				"/proc/sys/net/ipv6/conf/default/disable_ipv6" };
	unsigned int ns_ifindex;
	struct nl *ns;

	(void)state;
	need_root();
	for (int i = 0; i < 4; i++) {
		FILE *f;

		enter(i < 2 ? peer : host);
		f = fopen(files[i % 2], "we");
		assert_non_null(f);
		assert_true(fputs("1\n", f) >= 0);
		assert_int_equal(fclose(f), 0);
	}
	ns = add_pair(&ns_ifindex);
	assert_true(addr_add(nl, &addr6, true) < 0);
	assert_int_equal(find_addr(nl, HOST_IFINDEX, "2001:db8::1").on_device, 0);
	assert_int_equal(find_route(nl, "2001:db8::", 64, RT_TABLE_MAIN).hops, 0);
	nl_close(ns);
}

/* The lines of `ip neigh` about the host veth. */
static void neighbours(char *text, size_t size)
{
	FILE *f = popen("ip neigh show dev nlhost0; ip -6 neigh show dev nlhost0", "re");
	size_t got;

	assert_non_null(f);
	got = fread(text, 1, size - 1, f);
	text[got] = '\0';
	pclose(f);
}

static void sets_neighbours(void **state)
{
	struct nsbpf_addr addr4 = address("192.0.2.2"), addr6 = address("2001:db8::2");
	unsigned int ns_ifindex;
	char text[1024];

	(void)state;
	need_root();
	nl_close(add_pair(&ns_ifindex));
	assert_int_equal(neigh_set(nl, HOST_IFINDEX, &addr4, host_mac), 0);
	assert_int_equal(neigh_set(nl, HOST_IFINDEX, &addr4, ns_mac), 0);
	assert_int_equal(neigh_set(nl, HOST_IFINDEX, &addr6, ns_mac), 0);
	neighbours(text, sizeof(text));
	assert_non_null(strstr(text, "192.0.2.2 lladdr 02:00:00:00:00:02 PERMANENT"));
	assert_non_null(strstr(text, "2001:db8::2 lladdr 02:00:00:00:00:02 PERMANENT"));
	assert_null(strstr(text, "02:00:00:00:00:01"));
	assert_int_equal(neigh_set(nl, 4711, &addr4, ns_mac), -ENODEV);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		NETNS_TEST(adds_addresses),
		NETNS_TEST(adds_addresses_without_routes),
		NETNS_TEST(without_ipv6_in_namespace),
		NETNS_TEST(sets_neighbours),
	};

	return cmocka_run_group_tests_name("nl_addr", tests, NULL, NULL);
}
