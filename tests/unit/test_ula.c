/* SPDX-License-Identifier: GPL-2.0-only */
/* SHA-1, and the unique local subnets that are made with it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "sha1.h"
#include "ula.h"

#include <cmocka.h>

#include "sandbox.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define MACHINE_ID "3f0c1d5e7a9b48c2b6d4e8f1a2c3d4e5"

/* RFC 3174 section 7.3, and what surrounds the lengths at which a block is full. */
static void test_sha1(void **state)
{
	static const struct {
		const char *text;
		int times;
		const char *digest;
	} rows[] = {
		{ "abc", 1, "a9993e364706816aba3e25717850c26c9cd0d89d" },
		{ "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 1,
		  "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
		{ "a", 1000000, "34aa973cd4c4daa4f61eeb2bdbad27316534016f" },
		{ "0123456701234567012345670123456701234567012345670123456701234567", 10,
		  "dea356a2cddd90c7a7ecedc5ebb563934f460452" },
		{ "a", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
		{ "a", 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },
		{ "a", 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
		{ "a", 63, "03f09f5b158a7a8cdad920bddc29b81c18a551f5" },
		{ "a", 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
		{ "a", 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56" },
		{ "a", 120, "f34c1488385346a55709ba056ddd08280dd4c6d6" },
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		size_t length = strlen(rows[i].text);
		char *data = malloc(length * rows[i].times + 1);
		unsigned char digest[SHA1_SIZE];
		char text[2 * SHA1_SIZE + 1];

		assert_non_null(data);
		for (int time = 0; time < rows[i].times; time++)
			memcpy(data + length * time, rows[i].text, length);
		sha1(data, length * rows[i].times, digest);
		free(data);
		for (int byte = 0; byte < SHA1_SIZE; byte++)
			snprintf(text + 2 * byte, 3, "%02x", digest[byte]);
		assert_string_equal(text, rows[i].digest);
	}
}

static void assert_subnet(const struct cidr *subnet, const char *text)
{
	char buffer[CIDR_TEXT];

	assert_string_equal(cidr_format(subnet, buffer), text);
}

/* `printf %s default | sha1sum` ends in b635. */
static void test_subnets(void **state)
{
	struct nsbpf_addr site;
	struct cidr subnet;

	(void)state;
	assert_int_equal(ula_subnet_id("default"), 0xb635);
	assert_int_equal(addr_parse("fd12:3456:789a::", &site), 0);
	subnet = ula_subnet(&site, 0xb635);
	assert_subnet(&subnet, "fd12:3456:789a:b635::/64");
	subnet = ula_subnet(&site, 0);
	assert_subnet(&subnet, "fd12:3456:789a::/64");
}

static void assert_site(const char *text)
{
	struct nsbpf_addr site;
	char buffer[ADDR_TEXT];
	struct nl *nl;

	assert_int_equal(nl_open(&nl), 0);
	assert_int_equal(ula_site(nl, &site), 0);
	nl_close(nl);
	assert_string_equal(addr_format(&site, buffer), text);
}

/* The last 40 bits of the digest of the machine's id, else of the MAC of the first Ethernet device. */
static void test_site(void **state)
{
	(void)state;
	if (!sandboxed)
		skip();
	put_file("/etc/machine-id", MACHINE_ID "\n");
	assert_site("fd4b:6d40:84f5::");
	assert_int_equal(system("ip link add name b index 7 address 02:00:5e:00:53:01 type veth "
				"peer name c index 9 address 02:00:5e:00:53:02"),
			 0);
	assert_site("fd4b:6d40:84f5::");
	put_file("/etc/machine-id", "uninitialized\n");
	assert_site("fdb8:750d:564a::");
	put_file("/etc/machine-id", "");
	assert_site("fdb8:750d:564a::");
	assert_int_equal(unlink("/etc/machine-id"), 0);
	assert_site("fdb8:750d:564a::");
	assert_int_equal(system("ip link add name d index 8 address 02:00:5e:00:53:03 type veth "
				"peer name a index 5 address 02:00:5e:00:53:04"),
			 0);
	assert_site("fd6a:4e4b:53ec::");
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sha1),
		cmocka_unit_test(test_subnets),
		cmocka_unit_test(test_site),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return sandbox(run);
}
