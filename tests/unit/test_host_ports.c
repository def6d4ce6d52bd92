/* SPDX-License-Identifier: GPL-2.0-only */
/* Which mapping which socket of the host stands in the way of, by address and family. */
#include "bound_socket.h"

#include <string.h>

#include "host_ports.h"

#define HOST4 "127.0.0.1"
#define OTHER4 "127.0.0.2"

/* What a mapping can be for: any address, of an endpoint that has IPv6 or has not, or one address. */
enum { ANY, ANY4, ON_HOST4, ON_OTHER4, ON_HOST6, ON_OTHER6, MAPPINGS };

static const char *const mapping_addr[MAPPINGS] = { NULL, NULL, HOST4, OTHER4, "::1", "2001:db8::1" };

struct held {
	const char *addr;
	int v6only;
	const char *named; /* as in the message */
	bool in_the_way[MAPPINGS];
};

static const struct held helds[] = {
	{ "0.0.0.0", 0, "0.0.0.0", { [ANY] = true, [ANY4] = true, [ON_HOST4] = true, [ON_OTHER4] = true } },
	{ HOST4, 0, HOST4, { [ANY] = true, [ANY4] = true, [ON_HOST4] = true } },
	{ "::", 0, "[::]", { true, true, true, true, true, true } },
	{ "::", 1, "[::]", { [ANY] = true, [ON_HOST6] = true, [ON_OTHER6] = true } },
	{ "::1", 0, "[::1]", { [ANY] = true, [ON_HOST6] = true } },
	{ "::1", 1, "[::1]", { [ANY] = true, [ON_HOST6] = true } },
	{ "::ffff:" HOST4, 0, HOST4, { [ANY] = true, [ANY4] = true, [ON_HOST4] = true } },
	{ "::ffff:0.0.0.0", 0, "0.0.0.0", { [ANY] = true, [ANY4] = true, [ON_HOST4] = true, [ON_OTHER4] = true } },
};

static struct mapping mapping_at(int where, __u8 proto, unsigned short first, unsigned short last)
{
	struct mapping m = { .proto = proto, .first = first, .last = last };

	if (mapping_addr[where])
		assert_int_equal(addr_parse(mapping_addr[where], &m.addr), 0);
	return m;
}

static void check_held(const struct held *held, bool tcp)
{
	__u8 proto = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	char text[128], name[64];
	unsigned short port;
	int fd = bound_socket(tcp ? SOCK_STREAM : SOCK_DGRAM, held->addr, held->v6only, &port);

	snprintf(name, sizeof(name), " on %s:%u", held->named, port);
	for (int where = 0; where < MAPPINGS; where++) {
		struct mapping m = mapping_at(where, proto, port, port);
		struct mapping below = mapping_at(where, proto, 1, port - 1);
		struct mapping other = mapping_at(where, tcp ? IPPROTO_UDP : IPPROTO_TCP, 1, 65535);
		int found = host_port_holder(&m, where != ANY4, text, sizeof(text));

		if (found != held->in_the_way[where])
			fail_msg("%s%s and mapping %d: %d", held->addr, held->v6only ? ", v6only" : "", where, found);
		if (found && !strstr(text, name))
			fail_msg("'%s' instead of '...%s'", text, name);
		assert_int_equal(host_port_holder(&below, where != ANY4, text, sizeof(text)), 0);
		assert_int_equal(host_port_holder(&other, where != ANY4, text, sizeof(text)), 0);
	}
	close(fd);
}

static void by_address_and_family(void **state)
{
	(void)state;
	need_root();
	for (unsigned int i = 0; i < sizeof(helds) / sizeof(helds[0]); i++) {
		check_held(&helds[i], true);
		check_held(&helds[i], false);
	}
}

/* A DHCPv6 client's, for instance: what comes for a link-local address is never an endpoint's. */
static void link_local(void **state)
{
	const struct sockaddr_in6 addr = { .sin6_family = AF_INET6,
					   .sin6_port = htons(546),
					   .sin6_addr = { { { 0xfe, 0x80, [15] = 1 } } },
					   .sin6_scope_id = 1 };
	struct mapping m = mapping_at(ANY, IPPROTO_UDP, 546, 546);
	int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0), on = 1;
	char text[128];

	(void)state;
	need_root();
	assert_return_code(fd, errno);
	/* No device here has the address. */
	assert_return_code(setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)), errno);
	assert_return_code(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), errno);
	assert_int_equal(host_port_holder(&m, true, text, sizeof(text)), 0);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		NETNS_TEST(by_address_and_family),
		NETNS_TEST(link_local),
	};

	return cmocka_run_group_tests_name("host_ports", tests, NULL, NULL);
}
