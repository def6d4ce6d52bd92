/* SPDX-License-Identifier: GPL-2.0-only */
/* Port specifications, and what errors look like. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "addr.h"
#include "error.h" /* before cmocka.h, which makes a macro of fail(); "(fail)" is the function */

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void test_port_spec_good(void **state)
{
	static const struct {
		const char *text, *addr;
		__u16 first, last, target;
		bool tcp, udp;
	} rows[] = {
		{ "5000", "::", 5000, 5000, 5000, true, false },
		{ "1", "::", 1, 1, 1, true, false },
		{ "65535", "::", 65535, 65535, 65535, true, false },
		{ "5000/tcp", "::", 5000, 5000, 5000, true, false },
		{ "5000/udp", "::", 5000, 5000, 5000, false, true },
		{ "5000/both", "::", 5000, 5000, 5000, true, true },
		{ "8080:80", "::", 8080, 8080, 80, true, false },
		{ "8080:80/both", "::", 8080, 8080, 80, true, true },
		{ "5000-5010", "::", 5000, 5010, 5000, true, false },
		{ "5000-5000", "::", 5000, 5000, 5000, true, false },
		{ "5000-5010:6000", "::", 5000, 5010, 6000, true, false },
		{ "5000-5010:6000-6010/udp", "::", 5000, 5010, 6000, false, true },
		{ "1-65535", "::", 1, 65535, 1, true, false },
		{ "1-65535:1-65535", "::", 1, 65535, 1, true, false },
		{ "1-2:65534", "::", 1, 2, 65534, true, false },
		{ "5000:6000-6000", "::", 5000, 5000, 6000, true, false },
		{ "192.0.2.1:5000", "192.0.2.1", 5000, 5000, 5000, true, false },
		{ "127.0.0.1:8080:80/udp", "127.0.0.1", 8080, 8080, 80, false, true },
		{ "192.0.2.1:1-3:4-6", "192.0.2.1", 1, 3, 4, true, false },
		{ "[2001:db8::1]:5000", "2001:db8::1", 5000, 5000, 5000, true, false },
		{ "[2001:db8::1]:1-3:4-6/both", "2001:db8::1", 1, 3, 4, true, true },
		{ "[::1]:5000", "::1", 5000, 5000, 5000, true, false },
		{ "[::ffff:192.0.2.1]:5000", "192.0.2.1", 5000, 5000, 5000, true, false },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:65534-65535:65534-65535/both",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", 65534, 65535, 65534, true, true },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *why = "untouched";
		struct port_spec spec;
		char text[ADDR_TEXT];

		if (port_spec_parse(rows[i].text, &spec, &why))
			fail_msg("%s: %s", rows[i].text, why);
		assert_string_equal(why, "untouched");
		assert_string_equal(addr_format(&spec.addr, text), rows[i].addr);
		assert_int_equal(spec.first, rows[i].first);
		assert_int_equal(spec.last, rows[i].last);
		assert_int_equal(spec.target, rows[i].target);
		assert_int_equal(spec.tcp, rows[i].tcp);
		assert_int_equal(spec.udp, rows[i].udp);
	}
}

static void test_port_spec_bad(void **state)
{
	static const char missing[] = "a port is missing", number[] = "a port is a number from 1 to 65535",
			  below[] = "the last port is below the first", brackets[] = "an IPv6 address needs brackets",
			  length[] = "the two ranges differ in length", protocol[] = "the protocol is tcp, udp or both",
			  above[] = "the target range ends above 65535", not4[] = "not an IPv4 address",
			  not6[] = "not an IPv6 address", only6[] = "only an IPv6 address goes in brackets",
			  every[] = "for every address of the host, leave the address out";
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "", missing },
		{ ":", missing },
		{ "/tcp", missing },
		{ ":80", missing },
		{ "80:", missing },
		{ "80-", missing },
		{ "-80", missing },
		{ "80-:90", missing },
		{ "80:90-", missing },
		{ "192.0.2.1", missing },
		{ "192.0.2.1:", missing },
		{ "192.0.2.1/tcp", missing },
		{ "192.0.2.1::80", missing },
		{ "[::1]", missing },
		{ "[::1]:", missing },
		{ "[::1]80", missing },
		{ "0", number },
		{ "65536", number },
		{ "080", number },
		{ "+80", number },
		{ " 80", number },
		{ "80 ", number },
		{ "http", number },
		{ "localhost:80", number },
		{ "80:http", number },
		{ "80:0", number },
		{ "80-90-100", number },
		{ "80,90", number },
		{ "80:90]", number },
		{ "90-80", below },
		{ "80-90:100-99", below },
		{ "80-90:100-109", length },
		{ "80-90:100-111", length },
		{ "80-90:100-100", length },
		{ "80:100-101", length },
		{ "80-90:65530", above },
		{ "1-65535:2", above },
		{ "80/", protocol },
		{ "80/TCP", protocol },
		{ "80/sctp", protocol },
		{ "80/tcp/udp", protocol },
		{ "80/tcp ", protocol },
		{ "80/tcp:90", protocol },
		{ "::1:80", brackets },
		{ "2001:db8::1:80", brackets },
		{ "1:2:3:4:5:6:7:8:80", brackets },
		{ "80:90:100", brackets },
		{ "::", brackets },
		{ "192.0.2.1:80:90:100", brackets },
		{ "192.0.2:80", not4 },
		{ "192.0.2.256:80", not4 },
		{ "192.0.2.01:80", not4 },
		{ "host.example:80", not4 },
		{ "80.", not4 },
		{ "[::g]:80", not6 },
		{ "[fe80::1%eth0]:80", not6 },
		{ "[:]:80", not6 },
		{ "[::1/64]:80", protocol },
		{ "[192.0.2.1]:80", only6 },
		{ "[]:80", only6 },
		{ "[eth0]:80", only6 },
		{ "[::1:80", "the ']' is missing" },
		{ "0.0.0.0:80", every },
		{ "[::]:80", every },
		{ "[::ffff:0.0.0.0]:80", every },
		{ "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255]:"
		  "000000000000000000000000000000000000000000000000000000000000"
		  "00000000000000000000065535",
		  "it is too long" },
	};
	struct port_spec spec, before;

	(void)state;
	memset(&spec, 0x5a, sizeof(spec));
	before = spec;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const char *why = NULL;

		if (port_spec_parse(rows[i].text, &spec, &why) != -EINVAL)
			fail_msg("'%s': accepted", rows[i].text);
		if (strcmp(why, rows[i].why))
			fail_msg("'%s': '%s' instead of '%s'", rows[i].text, why, rows[i].why);
		assert_memory_equal(&spec, &before, sizeof(spec));
	}
}

static void test_error(void **state)
{
	char longer[2 * sizeof(((struct error *)NULL)->text)];
	struct error err;

	(void)state;
	assert_int_equal((fail)(&err, EXIT_CONFLICT, "%s: port %d", "ns1", 80), -1);
	assert_int_equal(err.code, EXIT_CONFLICT);
	assert_string_equal(err.text, "ns1: port 80");

	(fail)(&err, EXIT_USAGE, "no '%s'", "a\nb\tc\x1b[1m\x7f ü");
	assert_string_equal(err.text, "no 'a?b?c?[1m? ?\?'");

	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	(fail)(&err, EXIT_SYSTEM, "%s", longer);
	assert_int_equal(strlen(err.text), sizeof(err.text) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_spec_good),
		cmocka_unit_test(test_port_spec_bad),
		cmocka_unit_test(test_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
