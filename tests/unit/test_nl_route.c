/* SPDX-License-Identifier: GPL-2.0-only */
/* Routes against the real kernel. */
#include "netns_fixture.h"
#include "nl_search.h"

#include <arpa/inet.h>
#include <linux/if_addr.h>
#include <stdlib.h>
#include <string.h>

static void assert_route(const struct route *got, const struct route *wanted)
{
	assert_true(addr_equal(&got->dst, &wanted->dst));
	assert_true(addr_equal(&got->gateway, &wanted->gateway));
	assert_true(addr_equal(&got->prefsrc, &wanted->prefsrc));
	assert_int_equal(got->prefix, wanted->prefix);
	assert_int_equal(got->ifindex, wanted->ifindex);
	assert_int_equal(got->table, wanted->table);
	assert_int_equal(got->type, wanted->type);
	assert_int_equal(got->scope, wanted->scope);
	assert_int_equal(got->protocol, wanted->protocol);
	assert_int_equal(got->metric, wanted->metric);
}

static void round_trip(struct nl *where, const struct route *route)
{
	char dst[ADDR_TEXT];
	struct route_search search;

	addr_format(&route->dst, dst);
	assert_int_equal(route_delete(where, route), -ESRCH);
	assert_int_equal(route_add(where, route), 0);
	assert_int_equal(route_add(where, route), -EEXIST);
	search = find_route(where, dst, route->prefix, route->table);
	assert_int_equal(search.hops, 1);
	assert_route(&search.all[0], route);
	assert_int_equal(route_delete(where, route), 0);
	assert_int_equal(route_delete(where, route), -ESRCH);
	assert_int_equal(find_route(where, dst, route->prefix, route->table).hops, 0);
}

static struct nl *add_addressed_pair(unsigned int *ns_ifindex)
{
	struct nl *ns = add_pair(ns_ifindex);
	struct link_addr addr4 = { .ifindex = *ns_ifindex, .addr = address("192.0.2.2"), .prefix = 24 };
	struct link_addr addr6 = {
		.ifindex = *ns_ifindex, .addr = address("2001:db8::2"), .prefix = 64, .flags = IFA_F_NODAD
	};

	assert_int_equal(addr_add(ns, &addr4, false), 0);
	assert_int_equal(addr_add(ns, &addr6, false), 0);
	return ns;
}

static void adds_routes(void **state)
{
	unsigned int ifindex;
	struct route route;
	struct nl *ns;

	(void)state;
	need_root();
	ns = add_addressed_pair(&ifindex);
	route = (struct route){ .dst = address("0.0.0.0"),
				.gateway = address("192.0.2.1"),
				.ifindex = ifindex,
				.table = RT_TABLE_MAIN,
				.type = RTN_UNICAST,
				.protocol = RTPROT_STATIC };
	round_trip(ns, &route);
	route = (struct route){ .dst = address("::"),
				.gateway = address("2001:db8::1"),
				.ifindex = ifindex,
				.table = RT_TABLE_MAIN,
				.type = RTN_UNICAST,
				.protocol = RTPROT_STATIC,
				.metric = 1024 };
	round_trip(ns, &route);
	route = (struct route){ .dst = address("198.51.100.0"),
				.prefix = 24,
				.prefsrc = address("192.0.2.2"),
				.ifindex = ifindex,
				.table = 100000,
				.type = RTN_UNICAST,
				.scope = RT_SCOPE_LINK,
				.protocol = 155,
				.metric = 7 };
	round_trip(ns, &route);
	route = (struct route){ .dst = address("2001:db8:1::"),
				.prefix = 48,
				.prefsrc = address("2001:db8::2"),
				.ifindex = ifindex,
				.table = 100000,
				.type = RTN_UNICAST,
				.protocol = 155,
				.metric = 7 };
	round_trip(ns, &route);
	route = (struct route){ .dst = address("198.51.100.0"),
				.prefix = 24,
				.table = RT_TABLE_MAIN,
				.type = RTN_UNREACHABLE,
				.protocol = RTPROT_STATIC };
	round_trip(ns, &route);
	route = (struct route){ .dst = address("2001:db8:2::"),
				.prefix = 48,
				.table = RT_TABLE_MAIN,
				.type = RTN_UNREACHABLE,
				.protocol = RTPROT_STATIC,
				.metric = 1024 };
	round_trip(ns, &route);
	/* an IPv6 next hop for IPv4 */
	route = (struct route){ .dst = address("203.0.113.0"),
				.prefix = 24,
				.gateway = address("2001:db8::1"),
				.ifindex = ifindex,
				.table = RT_TABLE_MAIN,
				.type = RTN_UNICAST,
				.protocol = RTPROT_STATIC };
	round_trip(ns, &route);
	nl_close(ns);
}

static void refuses_routes(void **state)
{
	unsigned int ifindex;
	struct route route;
	struct nl *ns;

	(void)state;
	need_root();
	ns = add_addressed_pair(&ifindex);
	route = (struct route){ .dst = address("198.51.100.0"),
				.prefix = 24,
				.ifindex = 4711,
				.table = RT_TABLE_MAIN,
				.type = RTN_UNICAST,
				.scope = RT_SCOPE_LINK,
				.protocol = RTPROT_STATIC };
	assert_int_equal(route_add(ns, &route), -ENODEV);
	route.ifindex = ifindex;
	route.prefsrc = address("2001:db8::2");
	assert_int_equal(route_add(ns, &route), -EINVAL);
	route.dst = address("2001:db8:1::");
	route.prefsrc = address("0.0.0.0");
	assert_int_equal(route_add(ns, &route), -EINVAL);
	memset(&route.prefsrc, 0, sizeof(route.prefsrc));
	route.gateway = address("192.0.2.1");
	assert_int_equal(route_add(ns, &route), -EINVAL);
	nl_close(ns);
}

static void run(const char *command)
{
	assert_int_equal(system(command), 0);
}

/* What nsbpf never makes but must read: several hops, next hops of the other family, addresses with a peer. */
static void reads_foreign_configuration(void **state)
{
	struct route_search search;
	unsigned int ifindex;
	struct nl *ns;

	(void)state;
	need_root();
	ns = add_addressed_pair(&ifindex);
	enter(peer);
	run("ip route add 198.51.100.0/24 nexthop via 192.0.2.1 nexthop via inet6 2001:db8::1 dev nlpeer0");
	run("ip -6 route add 2001:db8:1::/48 nexthop via 2001:db8::1 nexthop via 2001:db8::3");
	run("ip addr add 203.0.113.1 peer 203.0.113.9/32 dev nlpeer0");
	run("ip route add blackhole 203.0.113.128/25 table 200");
	enter(host);

	search = find_route(ns, "198.51.100.0", 24, RT_TABLE_MAIN);
	assert_int_equal(search.hops, 2);
	assert_addr(&search.all[0].gateway, "192.0.2.1");
	assert_addr(&search.all[1].gateway, "2001:db8::1");
	assert_int_equal(search.all[0].ifindex, ifindex);
	assert_int_equal(search.all[1].ifindex, ifindex);
	search = find_route(ns, "2001:db8:1::", 48, RT_TABLE_MAIN);
	assert_int_equal(search.hops, 2);
	assert_addr(&search.all[0].gateway, "2001:db8::1");
	assert_addr(&search.all[1].gateway, "2001:db8::3");
	search = find_route(ns, "203.0.113.128", 25, 200);
	assert_int_equal(search.hops, 1);
	assert_int_equal(search.all[0].type, RTN_BLACKHOLE);
	assert_int_equal(search.all[0].ifindex, 0);
	assert_true(find_addr(ns, ifindex, "203.0.113.1").found);
	assert_false(find_addr(ns, ifindex, "203.0.113.9").found);
	nl_close(ns);
}

static int count_route(const struct route *route, void *arg)
{
	int *count = arg;

	assert_true(addr_is4(&route->dst));
	return ++*count == 1500 ? 99 : 0;
}

/* More routes than one datagram holds. */
static void lists_many_routes(void **state)
{
	struct route route = { .dst = address("10.0.0.0"),
			       .prefix = 32,
			       .ifindex = 1,
			       .table = 1000,
			       .type = RTN_UNICAST,
			       .scope = RT_SCOPE_LINK,
			       .protocol = RTPROT_STATIC };
	int routes = 0;

	(void)state;
	need_root();
	for (unsigned int i = 0; i < 1490; i++) {
		route.dst.words[3] = htonl(0x0a000000 + i);
		assert_int_equal(route_add(nl, &route), 0);
	}
	assert_int_equal(route_each(nl, AF_INET, RTN_UNSPEC, count_route, &routes), 0);
	assert_in_range(routes, 1491, 1499);
	for (unsigned int i = 1490; i < 1500; i++) {
		route.dst.words[3] = htonl(0x0a000000 + i);
		assert_int_equal(route_add(nl, &route), 0);
	}
	routes = 0;
	assert_int_equal(route_each(nl, AF_INET, RTN_UNSPEC, count_route, &routes), 99);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		NETNS_TEST(adds_routes),
		NETNS_TEST(refuses_routes),
		NETNS_TEST(reads_foreign_configuration),
		NETNS_TEST(lists_many_routes),
	};

	return cmocka_run_group_tests_name("nl_route", tests, NULL, NULL);
}
