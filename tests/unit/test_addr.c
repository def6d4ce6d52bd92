/* SPDX-License-Identifier: GPL-2.0-only */
/* Texts of addresses, prefixes, MACs, numbers, times and names. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "addr.h"

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define NAME63 "n23456789012345678901234567890123456789012345678901234567890123"

static struct nsbpf_addr address(const char *text)
{
	struct nsbpf_addr addr;

	if (addr_parse(text, &addr))
		fail_msg("%s: refused", text);
	return addr;
}

static struct cidr prefix(const char *text)
{
	struct cidr cidr;

	if (cidr_parse(text, &cidr))
		fail_msg("%s: refused", text);
	return cidr;
}

static void test_addr_good(void **state)
{
	static const struct {
		const char *in, *out;
		bool is4, any, loopback;
	} rows[] = {
		{ "192.0.2.1", "192.0.2.1", .is4 = true },
		{ "0.0.0.0", "0.0.0.0", .is4 = true },
		{ "255.255.255.255", "255.255.255.255", .is4 = true },
		{ "127.0.0.1", "127.0.0.1", .is4 = true, .loopback = true },
		{ "127.255.255.255", "127.255.255.255", .is4 = true, .loopback = true },
		{ "126.255.255.255", "126.255.255.255", .is4 = true },
		{ "::ffff:192.0.2.1", "192.0.2.1", .is4 = true },
		{ "::ffff:7f00:1", "127.0.0.1", .is4 = true, .loopback = true },
		{ "::", "::", .any = true },
		{ "::1", "::1", .loopback = true },
		{ "::2", "::2", .is4 = false },
		{ "::1:0:1", "::1:0:1", .is4 = false },
		{ "2001:DB8::1", "2001:db8::1", .is4 = false },
		{ "2001:db8:0:0:0:0:0:1", "2001:db8::1", .is4 = false },
		{ "fe80::1", "fe80::1", .is4 = false },
		{ "::1:ffff:192.0.2.1", "::1:ffff:c000:201", .is4 = false },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", .is4 = false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct nsbpf_addr addr = address(rows[i].in), again;
		char text[ADDR_TEXT];

		assert_string_equal(addr_format(&addr, text), rows[i].out);
		assert_int_equal(addr_is4(&addr), rows[i].is4);
		assert_int_equal(addr_is_any(&addr), rows[i].any);
		assert_int_equal(addr_is_loopback(&addr), rows[i].loopback);
		again = address(text);
		assert_true(addr_equal(&addr, &again));
		if (addr_is4(&addr)) {
			again = addr_from4(addr_to4(&addr));
			assert_true(addr_equal(&addr, &again));
		}
	}
	assert_int_equal(addr_from4(htonl(0xc0000201)).bytes[12], 0xc0);
}

static void test_addr_bad(void **state)
{
	static const char *const rows[] = {
		"",
		" ",
		"1",
		"1.2.3",
		"1.2.3.4.5",
		"1.2.3.256",
		"01.2.3.4",
		"1.2.3.4 ",
		" 1.2.3.4",
		"1.2.3.4/32",
		"1.2.3.4:80",
		"0x1.2.3.4",
		"1.2.3.-4",
		"localhost",
		":",
		":::",
		"1::2::3",
		"[::1]",
		"::1/128",
		"fe80::1%eth0",
		"fe80::1%1",
		"::12345",
		"1:2:3:4:5:6:7",
		"1:2:3:4:5:6:7:8:9",
		"::ffff:1.2.3",
		"::g",
		"::1\n",
		"١.٢.٣.٤",
	};
	struct nsbpf_addr addr = address("192.0.2.1"), before = addr;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (addr_parse(rows[i], &addr) != -EINVAL)
			fail_msg("%s: accepted", rows[i]);
		assert_true(addr_equal(&addr, &before));
	}
}

static void test_cidr_good(void **state)
{
	static const struct {
		const char *in, *out;
		unsigned int prefix;
		bool host_bits;
	} rows[] = {
		{ "10.0.0.0/8", "10.0.0.0/8", 104, false },
		{ "10.0.0.1/8", "10.0.0.1/8", 104, true },
		{ "10.0.0.1/31", "10.0.0.1/31", 127, true },
		{ "10.0.0.1/32", "10.0.0.1/32", 128, false },
		{ "10.0.0.1", "10.0.0.1/32", 128, false },
		{ "0.0.0.0/0", "0.0.0.0/0", 96, false },
		{ "0.0.0.1/0", "0.0.0.1/0", 96, true },
		{ "172.16.0.0/12", "172.16.0.0/12", 108, false },
		{ "172.24.0.0/12", "172.24.0.0/12", 108, true },
		{ "::ffff:10.0.0.0/104", "10.0.0.0/8", 104, false },
		{ "::ffff:10.0.0.1", "10.0.0.1/32", 128, false },
		{ "2001:db8::/32", "2001:db8::/32", 32, false },
		{ "2001:db8::1/32", "2001:db8::1/32", 32, true },
		{ "2001:db8::/31", "2001:db8::/31", 31, false },
		{ "2001:db9::/31", "2001:db9::/31", 31, true },
		{ "2001:db8::1", "2001:db8::1/128", 128, false },
		{ "::/0", "::/0", 0, false },
		{ "8000::/0", "8000::/0", 0, true },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", 128,
		  false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cidr cidr = prefix(rows[i].in), again;
		char text[CIDR_TEXT];

		assert_int_equal(cidr.prefix, rows[i].prefix);
		assert_string_equal(cidr_format(&cidr, text), rows[i].out);
		assert_int_equal(cidr_has_host_bits(&cidr), rows[i].host_bits);
		again = prefix(text);
		assert_memory_equal(&cidr, &again, sizeof(cidr));
	}
}

static void test_cidr_bad(void **state)
{
	static const char *const rows[] = {
		"",
		"/",
		"/8",
		"10.0.0.0/",
		"10.0.0.0/33",
		"10.0.0.0/-1",
		"10.0.0.0/+8",
		"10.0.0.0/08",
		"10.0.0.0/8 ",
		"10.0.0.0/ 8",
		"10.0.0.0/8/8",
		"10.0.0/8",
		"10.0.0.0/255.0.0.0",
		"10.0.0.0/18446744073709551624",
		"2001:db8::/129",
		"[2001:db8::]/32",
		"fe80::%eth0/64",
		"::ffff:10.0.0.0/64",
		"any",
		"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255:ffff:ffff:ffff/128",
	};
	struct cidr cidr = prefix("10.0.0.0/8"), before = cidr;

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (cidr_parse(rows[i], &cidr) != -EINVAL)
			fail_msg("%s: accepted", rows[i]);
		assert_memory_equal(&cidr, &before, sizeof(cidr));
	}
}

static void test_cidr_contains(void **state)
{
	static const struct {
		const char *cidr, *addr;
		bool contains;
	} rows[] = {
		{ "10.0.0.0/8", "10.255.255.255", true },
		{ "10.0.0.0/8", "11.0.0.0", false },
		{ "10.1.2.3/8", "10.9.9.9", true }, /* host bits do not count */
		{ "192.0.2.128/25", "192.0.2.128", true },
		{ "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.1/32", "192.0.2.1", true },
		{ "192.0.2.1/32", "192.0.2.0", false },
		{ "0.0.0.0/0", "203.0.113.9", true },
		{ "0.0.0.0/0", "2001:db8::1", false },
		{ "0.0.0.0/0", "::", false },
		{ "::/0", "2001:db8::1", true },
		{ "::/0", "10.0.0.1", false },
		{ "::/64", "10.0.0.1", false },
		{ "::/64", "::1", true },
		{ "2001:db8::/33", "2001:db8:7fff::1", true },
		{ "2001:db8::/33", "2001:db8:8000::1", false },
		{ "::1/128", "::1", true },
		{ "::1/128", "::", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cidr cidr = prefix(rows[i].cidr);
		struct nsbpf_addr addr = address(rows[i].addr);

		if (cidr_contains(&cidr, &addr) != rows[i].contains)
			fail_msg("%s, %s: not %d", rows[i].cidr, rows[i].addr, rows[i].contains);
	}
}

static void test_cidr_overlaps(void **state)
{
	static const struct {
		const char *a, *b;
		bool overlaps;
	} rows[] = {
		{ "10.0.0.0/8", "10.1.0.0/16", true },
		{ "10.0.0.0/8", "10.0.0.0/8", true },
		{ "10.0.0.0/9", "10.128.0.0/9", false },
		{ "10.0.0.0/8", "11.0.0.0/8", false },
		{ "10.0.0.7/8", "10.0.0.1/32", true },
		{ "0.0.0.0/0", "192.0.2.0/24", true },
		{ "0.0.0.0/0", "2001:db8::/32", false },
		{ "::/0", "2001:db8::/32", true },
		{ "::/0", "10.0.0.0/8", false },
		{ "::/0", "0.0.0.0/0", false },
		{ "2001:db8::/32", "2001:db8:5::/48", true },
		{ "2001:db8::/48", "2001:db8:1::/48", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cidr a = prefix(rows[i].a), b = prefix(rows[i].b);

		if (cidr_overlaps(&a, &b) != rows[i].overlaps || cidr_overlaps(&b, &a) != rows[i].overlaps)
			fail_msg("%s, %s: not %d", rows[i].a, rows[i].b, rows[i].overlaps);
	}
}

static void test_addr_pair(void **state)
{
	static const struct {
		const char *text, *v4, *v6; /* NULL: none */
	} good[] = {
		{ "192.0.2.1", "192.0.2.1", NULL },
		{ "2001:db8::1", NULL, "2001:db8::1" },
		{ "192.0.2.1,2001:db8::1", "192.0.2.1", "2001:db8::1" },
		{ "2001:db8::1,192.0.2.1", "192.0.2.1", "2001:db8::1" },
		{ "0.0.0.0,::1", "0.0.0.0", "::1" },
		{ "255.255.255.255,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "255.255.255.255",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
	};
	static const char *const bad[] = {
		"",
		",",
		"192.0.2.1,",
		",192.0.2.1",
		"192.0.2.1,192.0.2.2",
		"2001:db8::1,2001:db8::2",
		"::",
		"192.0.2.1,::",
		"192.0.2.1, 2001:db8::1",
		"192.0.2.1,2001:db8::1,192.0.2.2",
		"192.0.2.1/32",
		"on",
		"192.0.2.1,2001:db8::1,2001:db8::1",
		"::ffff:192.0.2.1,192.0.2.1",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff,",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(good); i++) {
		struct addr_pair pair, wanted = { 0 };

		if (good[i].v4)
			wanted.v4 = address(good[i].v4);
		if (good[i].v6)
			wanted.v6 = address(good[i].v6);
		assert_int_equal(addr_pair_parse(good[i].text, &pair), 0);
		assert_memory_equal(&pair, &wanted, sizeof(pair));
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		struct addr_pair pair, untouched;

		memset(&pair, 0x5a, sizeof(pair));
		untouched = pair;
		if (addr_pair_parse(bad[i], &pair) != -EINVAL)
			fail_msg("'%s': accepted", bad[i]);
		assert_memory_equal(&pair, &untouched, sizeof(pair));
	}
}

static void test_addr_link_local(void **state)
{
	static const struct {
		const char *text;
		bool link_local;
	} rows[] = {
		{ "169.254.0.0", true },    { "169.254.255.255", true }, { "169.253.255.255", false },
		{ "169.255.0.0", false },   { "fe80::", true },          { "fe80::1", true },
		{ "febf:ffff::1", true },   { "fec0::1", false },        { "fe7f::1", false },
		{ "::ffff:fe80:1", false }, { "ff02::1", false },        { "fd00::1", false },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct nsbpf_addr addr = address(rows[i].text);

		if (addr_is_link_local(&addr) != rows[i].link_local)
			fail_msg("%s: not %d", rows[i].text, rows[i].link_local);
	}
}

/* Numbers of hosts in a prefix: the first, the last, and what none of them may have. */
static void test_cidr_hosts(void **state)
{
	static const struct {
		const char *cidr, *mask, *first, *highest;
		__u32 last;
		const char *own, *behind; /* NULL: the next one is in it, too */
	} rows[] = {
		{ "10.80.0.0/16", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:0", "10.80.0.1", "10.80.255.254", 0xfffe,
		  "10.80.0.0", "10.80.255.255" },
		{ "192.168.9.4/30", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc", "192.168.9.5", "192.168.9.6", 2,
		  "192.168.9.4", "192.168.9.7" },
		{ "2001:db8::4/126", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffc", "2001:db8::5", "2001:db8::7", 3,
		  "2001:db8::4", "2001:db8::8" },
		{ "2001:db8::/97", "ffff:ffff:ffff:ffff:ffff:ffff:8000:0", "2001:db8::1", "2001:db8::7fff:ffff",
		  0x7fffffff, "2001:db8::", "2001:db8::8000:0" },
		{ "2001:db8::/96", "ffff:ffff:ffff:ffff:ffff:ffff::", "2001:db8::1", "2001:db8::ffff:ffff", ~0U,
		  "2001:db8::", "2001:db8::1:0:0" },
		{ "fd12:3:4:5::/64", "ffff:ffff:ffff:ffff::", "fd12:3:4:5::1", "fd12:3:4:5::ffff:ffff", ~0U,
		  "fd12:3:4:5::", NULL },
		{ "fd12::/48", "ffff:ffff:ffff::", "fd12::1", "fd12::ffff:ffff", ~0U, "fd12::", NULL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct cidr cidr = prefix(rows[i].cidr);
		struct nsbpf_addr mask = cidr_mask(cidr.prefix), first = cidr_nth(&cidr, 1);
		struct nsbpf_addr highest = cidr_nth(&cidr, cidr_last(&cidr)), own = address(rows[i].own);
		char text[ADDR_TEXT];

		assert_string_equal(addr_format(&mask, text), rows[i].mask);
		assert_string_equal(addr_format(&first, text), rows[i].first);
		assert_int_equal(cidr_last(&cidr), rows[i].last);
		assert_string_equal(addr_format(&highest, text), rows[i].highest);
		assert_true(cidr_has_host(&cidr, &first));
		assert_true(cidr_has_host(&cidr, &highest));
		assert_false(cidr_has_host(&cidr, &own));
		if (rows[i].behind) {
			struct nsbpf_addr behind = address(rows[i].behind);

			assert_false(cidr_has_host(&cidr, &behind));
		}
	}
}

static void test_mac(void **state)
{
	static const unsigned char expected[6] = { 0x02, 0x00, 0x5e, 0xab, 0xcd, 0xef };
	static const char *const bad[] = {
		"",
		"02:00:5e:10:00",
		"02:00:5e:10:00:01:",
		"02:00:5e:10:00:01:02",
		"2:0:5e:10:0:1",
		"02-00-5e-10-00-01",
		"02005e100001",
		"0200.5e10.0001",
		"02:00:5e:10:00:0g",
		"02:00:5e:10:00: 1",
		"02:00:5e:10:00:+1",
		" 02:00:5e:10:00:1",
		"00:00:00:00:00:00",
		"ff:ff:ff:ff:ff:ff",
		"01:00:5e:00:00:01",
		"33:33:00:00:00:01",
	};
	unsigned char mac[6] = {}, zero[6] = {};
	char text[MAC_TEXT];

	(void)state;
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (mac_parse(bad[i], mac) != -EINVAL)
			fail_msg("%s: accepted", bad[i]);
		assert_memory_equal(mac, zero, 6);
	}
	assert_int_equal(mac_parse("02:00:5E:ab:Cd:eF", mac), 0);
	assert_memory_equal(mac, expected, 6);
	assert_string_equal(mac_format(mac, text), "02:00:5e:ab:cd:ef");
	assert_int_equal(mac_parse(text, mac), 0);
	assert_memory_equal(mac, expected, 6);
}

static void test_number(void **state)
{
	static const struct {
		const char *text;
		unsigned long min, max, number;
		int ret;
	} rows[] = {
		{ "0", 0, 10, 0, 0 },
		{ "10", 0, 10, 10, 0 },
		{ "11", 0, 10, 0, -EINVAL },
		{ "4", 5, 10, 0, -EINVAL },
		{ "5", 5, 10, 5, 0 },
		{ "18446744073709551615", 0, ULONG_MAX, ULONG_MAX, 0 },
		{ "18446744073709551616", 0, ULONG_MAX, 0, -EINVAL },
		{ "18446744073709551621", 0, ULONG_MAX, 0, -EINVAL },
		{ "99999999999999999999999", 0, ULONG_MAX, 0, -EINVAL },
		{ "", 0, 10, 0, -EINVAL },
		{ " 1", 0, 10, 0, -EINVAL },
		{ "1 ", 0, 10, 0, -EINVAL },
		{ "+1", 0, 10, 0, -EINVAL },
		{ "-1", 0, ULONG_MAX, 0, -EINVAL },
		{ "01", 0, 10, 0, -EINVAL },
		{ "00", 0, 10, 0, -EINVAL },
		{ "0x1", 0, 10, 0, -EINVAL },
		{ "1.0", 0, 10, 0, -EINVAL },
		{ "1e1", 0, 10, 0, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned long number = 77;

		if (number_parse(rows[i].text, rows[i].min, rows[i].max, &number) != rows[i].ret)
			fail_msg("'%s': not %d", rows[i].text, rows[i].ret);
		assert_int_equal(number, rows[i].ret ? 77 : rows[i].number);
	}
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		unsigned long min, max, seconds;
		int ret;
	} rows[] = {
		{ "240", 1, 1000, 240, 0 },
		{ "240s", 1, 1000, 240, 0 },
		{ "4m", 1, 1000, 240, 0 },
		{ "2h", 1, 7200, 7200, 0 },
		{ "24d", 1, 24 * 86400, 24 * 86400, 0 },
		{ "0", 0, 10, 0, 0 },
		{ "0d", 0, 10, 0, 0 },
		{ "0", 1, 10, 0, -EINVAL },
		{ "0m", 1, 10, 0, -EINVAL },
		{ "3h", 1, 7200, 0, -EINVAL },
		{ "25d", 1, 24 * 86400, 0, -EINVAL },
		{ "1m", 61, 1000, 0, -EINVAL },
		{ "18446744073709551615", 0, ULONG_MAX, ULONG_MAX, 0 },
		{ "18446744073709551615m", 0, ULONG_MAX, 0, -EINVAL },
		{ "307445734561825861m", 0, ULONG_MAX, 0, -EINVAL },
		{ "99999999999999999999999999999999s", 0, ULONG_MAX, 0, -EINVAL },
		{ "", 0, 10, 0, -EINVAL },
		{ "s", 0, 10, 0, -EINVAL },
		{ "4 m", 0, 1000, 0, -EINVAL },
		{ "4M", 0, 1000, 0, -EINVAL },
		{ "4min", 0, 1000, 0, -EINVAL },
		{ "4mm", 0, 1000, 0, -EINVAL },
		{ "m4", 0, 1000, 0, -EINVAL },
		{ "1h30m", 0, 10000, 0, -EINVAL },
		{ "1.5m", 0, 1000, 0, -EINVAL },
		{ "-4m", 0, 1000, 0, -EINVAL },
		{ "+4m", 0, 1000, 0, -EINVAL },
		{ "04m", 0, 1000, 0, -EINVAL },
		{ "4ms", 0, 1000, 0, -EINVAL },
		{ "4w", 0, 10000000, 0, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		unsigned long seconds = 77;

		if (duration_parse(rows[i].text, rows[i].min, rows[i].max, &seconds) != rows[i].ret)
			fail_msg("'%s': not %d", rows[i].text, rows[i].ret);
		assert_int_equal(seconds, rows[i].ret ? 77 : rows[i].seconds);
	}
}

static void test_name(void **state)
{
	static const char *const good[] = { "a", "ns1", "A_b-c.9", "..a", ".a", "_", "0", "a-", "...", NAME63 };
	static const char *const bad[] = { "",     ".",   "..",  "-",  "-a",  "a/b",  "/",    "../x", "a b",
					   "a\tb", "a\n", "a:b", "a*", "a%s", "\x01", "\xff", "ä",    NAME63 "x" };

	(void)state;
	assert_int_equal(strlen(NAME63), NSBPF_NAME_MAX);
	for (size_t i = 0; i < COUNT(good); i++) {
		if (name_check(good[i]))
			fail_msg("'%s': refused", good[i]);
	}
	for (size_t i = 0; i < COUNT(bad); i++) {
		if (name_check(bad[i]) != -EINVAL)
			fail_msg("'%s': accepted", bad[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addr_good),     cmocka_unit_test(test_addr_bad),
		cmocka_unit_test(test_addr_pair),     cmocka_unit_test(test_addr_link_local),
		cmocka_unit_test(test_cidr_good),     cmocka_unit_test(test_cidr_bad),
		cmocka_unit_test(test_cidr_contains), cmocka_unit_test(test_cidr_overlaps),
		cmocka_unit_test(test_cidr_hosts),    cmocka_unit_test(test_mac),
		cmocka_unit_test(test_number),        cmocka_unit_test(test_duration),
		cmocka_unit_test(test_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
