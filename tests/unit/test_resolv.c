/* SPDX-License-Identifier: GPL-2.0-only */
/* Which resolvers a host really has, and the resolv.conf that its namespaces get. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "resolv.h"
#include "sandbox.h"

#define NAME "nsbpf-ut"
#define DIR "/etc/netns/" NAME
#define FILE_PATH DIR "/resolv.conf"

#define ETC "/etc/resolv.conf"
#define SYSTEMD "/run/systemd/resolve/resolv.conf"
#define NM "/run/NetworkManager/resolv.conf"
#define NO_STUB "/run/NetworkManager/no-stub-resolv.conf"
#define RESOLVCONF "/run/resolvconf/resolv.conf"
#define DNSMASQ "/var/run/dnsmasq/resolv.conf"

static const char *const directories[] = {
	"/etc", "/run",     "/run/systemd",    "/run/systemd/resolve", "/run/NetworkManager", "/run/resolvconf",
	"/var", "/var/run", "/var/run/dnsmasq"
};
static const char *const files[] = { ETC, SYSTEMD, NM, NO_STUB, RESOLVCONF, DNSMASQ };

static char root[64];

static const char *at_root(const char *path)
{
	static char text[256];

	snprintf(text, sizeof(text), "%s%s", root, path);
	return text;
}

static int make_root(void **state)
{
	(void)state;
	strcpy(root, "/tmp/nsbpf-ut-XXXXXX");
	if (!mkdtemp(root))
		return -1;
	for (size_t i = 0; i < sizeof(directories) / sizeof(directories[0]); i++) {
		if (mkdir(at_root(directories[i]), 0755))
			return -1;
	}
	return 0;
}

static void remove_files(void)
{
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		unlink(at_root(files[i]));
}

static int remove_root(void **state)
{
	(void)state;
	remove_files();
	for (size_t i = sizeof(directories) / sizeof(directories[0]); i-- > 0;)
		rmdir(at_root(directories[i]));
	return rmdir(root);
}

/* "192.0.2.1 2001:db8::1|search words|options" */
static const char *describe(const struct resolvers *resolvers)
{
	static char text[2048];
	char addr[ADDR_TEXT];
	int len = 0;

	for (unsigned int i = 0; i < resolvers->nservers; i++)
		len += sprintf(text + len, "%s%s", i ? " " : "", addr_format(&resolvers->servers[i], addr));
	sprintf(text + len, "|%s|%s", resolvers->search, resolvers->options);
	return text;
}

static void test_parse(void **state)
{
	static const struct {
		const char *text, *expected;
	} rows[] = {
		{ "", "||" },
		{ "nameserver 192.0.2.1", "192.0.2.1||" },
		{ "nameserver 192.0.2.1\nnameserver 2001:db8::1\n", "192.0.2.1 2001:db8::1||" },
		{ "nameserver\t 192.0.2.1 \t\r\nnameserver 192.0.2.2 # second\n", "192.0.2.1 192.0.2.2||" },
		{ "# nameserver 192.0.2.1\n; nameserver 192.0.2.2\n nameserver 192.0.2.3\n\n\t\n", "||" },
		{ "nameserver\nnameserver192.0.2.1\nnameservers 192.0.2.1\nnameserver resolver.example\n", "||" },
		{ "nameserver 127.0.0.53\nnameserver ::1\nnameserver 127.1.2.3\nnameserver 192.0.2.1\n",
		  "192.0.2.1||" },
		{ "nameserver 0.0.0.0\nnameserver ::\nnameserver ::ffff:127.0.0.1\n", "||" },
		{ "nameserver fe80::1%eth0\nnameserver fe80::1\nnameserver febf::1\nnameserver fec0::1\n",
		  "fec0::1||" },
		{ "nameserver 192.0.2.1\nsearch a.example  b.example\n", "192.0.2.1|a.example b.example|" },
		{ "nameserver 192.0.2.1\nsearch a.example\ndomain b.example\n", "192.0.2.1|b.example|" },
		{ "nameserver 192.0.2.1\ndomain b.example\nsearch a.example\n", "192.0.2.1|a.example|" },
		{ "nameserver 192.0.2.1\nsearch .\n", "192.0.2.1|.|" },
		{ "nameserver 192.0.2.1\noptions ndots:2\noptions edns0 rotate\n", "192.0.2.1||ndots:2 edns0 rotate" },
		{ "nameserver 10.0.0.1\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\nnameserver "
		  "10.0.0.5\n"
		  "nameserver 10.0.0.6\nnameserver 10.0.0.7\nnameserver 10.0.0.8\nnameserver 10.0.0.9\n",
		  "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5 10.0.0.6 10.0.0.7 10.0.0.8||" },
		/* nothing usable: the words are not those of an upstream, either */
		{ "nameserver 127.0.0.53\nsearch a.example\noptions trust-ad\n", "||" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct resolvers resolvers;

		put_file(at_root(ETC), rows[i].text);
		memset(&resolvers, 0x5a, sizeof(resolvers));
		assert_int_equal(resolv_upstream_at(root, &resolvers), 0);
		assert_string_equal(describe(&resolvers), rows[i].expected);
	}
	remove_files();
}

static void test_long_lines(void **state)
{
	char text[4096] = "nameserver 192.0.2.1\nsearch";
	struct resolvers resolvers;

	(void)state;
	for (int i = 0; i < 100; i++)
		sprintf(text + strlen(text), " d%02d.example", i);
	strcat(text, " x\noptions ");
	memset(text + strlen(text), 'o', 300);
	strcat(text, " ndots:1\n");
	put_file(at_root(ETC), text);

	/* whole words only */
	assert_int_equal(resolv_upstream_at(root, &resolvers), 0);
	assert_in_range(strlen(resolvers.search), 490, sizeof(resolvers.search) - 1);
	assert_memory_equal(resolvers.search, "d00.example d01.example ", 24);
	assert_string_equal(resolvers.search + strlen(resolvers.search) - 10, ".example x");
	assert_string_equal(resolvers.options, "ndots:1");
	remove_files();
}

static void test_fallbacks(void **state)
{
	char text[128], expected[128];
	struct resolvers resolvers;

	(void)state;
	assert_int_equal(resolv_upstream_at(root, &resolvers), 0); /* no file at all */
	assert_int_equal(resolvers.nservers, 0);

	/* from the last on, each one is preferred to those behind it */
	for (size_t i = sizeof(files) / sizeof(files[0]); i-- > 0;) {
		put_file(at_root(files[i]), "nameserver 127.0.0.53\nsearch stub.example\n");
		assert_int_equal(resolv_upstream_at(root, &resolvers), 0);
		assert_int_equal(resolvers.nservers, i < 5);

		snprintf(text, sizeof(text), "nameserver 192.0.2.%zu\nsearch d%zu.example\n", i, i);
		snprintf(expected, sizeof(expected), "192.0.2.%zu|d%zu.example|", i, i);
		put_file(at_root(files[i]), text);
		assert_int_equal(resolv_upstream_at(root, &resolvers), 0);
		assert_string_equal(describe(&resolvers), expected);
	}
	remove_files();
}

static void test_unreadable(void **state)
{
	struct resolvers resolvers = { .nservers = 7 };

	(void)state;
	assert_int_equal(mkdir(at_root(ETC), 0755), 0);
	assert_int_equal(resolv_upstream_at(root, &resolvers), -EISDIR);
	assert_int_equal(resolvers.nservers, 7);
	assert_int_equal(rmdir(at_root(ETC)), 0);

	assert_int_equal(symlink("resolv.conf", at_root(ETC)), 0);
	assert_int_equal(resolv_upstream_at(root, &resolvers), -ELOOP);
	assert_int_equal(unlink(at_root(ETC)), 0);

	/* systemd-resolved is gone, its link is not */
	assert_int_equal(symlink("../run/nowhere/stub-resolv.conf", at_root(ETC)), 0);
	assert_int_equal(resolv_upstream_at(root, &resolvers), 0);
	assert_int_equal(resolvers.nservers, 0);
	remove_files();
}

static struct resolvers example(void)
{
	struct resolvers resolvers = { .nservers = 2, .search = "a.example b.example", .options = "ndots:2" };

	assert_int_equal(addr_parse("192.0.2.1", &resolvers.servers[0]), 0);
	assert_int_equal(addr_parse("2001:db8::1", &resolvers.servers[1]), 0);
	return resolvers;
}

static unsigned int mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st.st_mode & 07777;
}

static void assert_file(const char *path, const char *expected)
{
	char text[512] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_true(read(fd, text, sizeof(text) - 1) >= 0);
	close(fd);
	assert_string_equal(text, expected);
}

static void test_write(void **state)
{
	struct resolvers resolvers = example();

	(void)state;
	if (!sandboxed)
		skip();
	umask(077);
	assert_int_equal(resolv_write(NAME, &resolvers), 0);
	umask(022);
	assert_file(FILE_PATH, "# made by nsbpf\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n"
			       "search a.example b.example\noptions ndots:2\n");
	assert_int_equal(mode_of("/etc/netns"), 0755);
	assert_int_equal(mode_of(DIR), 0755);
	assert_int_equal(mode_of(FILE_PATH), 0644);

	assert_int_equal(resolv_write(NAME, &resolvers), -EEXIST);
	assert_int_equal(resolv_remove(NAME), 0);
	assert_int_equal(access("/etc/netns", F_OK), -1);
	assert_int_equal(resolv_remove(NAME), 0);

	resolvers = (struct resolvers){};
	assert_int_equal(resolv_write(NAME, &resolvers), 0);
	assert_file(FILE_PATH, "# made by nsbpf\n");
	assert_int_equal(resolv_remove(NAME), 0);
	assert_int_equal(access("/etc/netns", F_OK), -1);
}

static void test_write_keeps_others(void **state)
{
	struct resolvers resolvers = example();

	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(mkdir("/etc/netns", 0700), 0);
	assert_int_equal(mkdir(DIR, 0711), 0);
	put_file(DIR "/hosts", "192.0.2.9 other\n");
	put_file(FILE_PATH, "nameserver 192.0.2.9\n");
	assert_int_equal(resolv_write(NAME, &resolvers), -EEXIST);
	assert_file(FILE_PATH, "nameserver 192.0.2.9\n");
	assert_int_equal(unlink(FILE_PATH), 0);

	/* a dangling link is somebody's, too */
	assert_int_equal(symlink("nowhere", FILE_PATH), 0);
	assert_int_equal(resolv_write(NAME, &resolvers), -EEXIST);
	assert_int_equal(access(DIR "/nowhere", F_OK), -1);
	assert_int_equal(unlink(FILE_PATH), 0);

	put_file(DIR "/.resolv.conf.nsbpf",
		 "what a killed nsbpf left, longer than what is to be written now ..........."
		 "............................................................................\n");
	assert_int_equal(resolv_write(NAME, &resolvers), 0);
	assert_int_equal(mode_of("/etc/netns"), 0700);
	assert_int_equal(mode_of(DIR), 0711);
	assert_int_equal(access(DIR "/.resolv.conf.nsbpf", F_OK), -1);
	assert_file(FILE_PATH, "# made by nsbpf\nnameserver 192.0.2.1\nnameserver 2001:db8::1\n"
			       "search a.example b.example\noptions ndots:2\n");
	assert_int_equal(resolv_remove(NAME), 0);
	assert_file(DIR "/hosts", "192.0.2.9 other\n");

	assert_int_equal(mkdir("/etc/netns/other", 0755), 0);
	assert_int_equal(unlink(DIR "/hosts"), 0);
	assert_int_equal(resolv_remove(NAME), 0);
	assert_int_equal(access(DIR, F_OK), -1);
	assert_int_equal(rmdir("/etc/netns/other"), 0);
	assert_int_equal(rmdir("/etc/netns"), 0);
}

static void test_write_fails(void **state)
{
	struct resolvers resolvers = example();

	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(resolv_write("../" NAME, &resolvers), -EINVAL);
	assert_int_equal(resolv_write("..", &resolvers), -EINVAL);
	assert_int_equal(resolv_remove("../" NAME), -EINVAL);

	put_file("/etc/netns", "");
	assert_int_equal(resolv_write(NAME, &resolvers), -ENOTDIR);
	assert_int_equal(resolv_remove(NAME), -ENOTDIR);
	assert_int_equal(unlink("/etc/netns"), 0);

	/* no space: four inodes are the root, netns, netns/NAME, and none for the file */
	assert_int_equal(mount("etc", "/etc", "tmpfs", 0, "mode=755,nr_inodes=3"), 0);
	assert_int_equal(resolv_write(NAME, &resolvers), -ENOSPC);
	assert_int_equal(access("/etc/netns", F_OK), -1);
	assert_int_equal(umount2("/etc", MNT_DETACH), 0);
}

static int write_and_see(const void *arg)
{
	struct resolvers resolvers = example();

	(void)arg;
	/* another /etc, as a process in its own mount namespace may have it */
	if (unshare(CLONE_NEWNS) || mount("", "/", "none", MS_PRIVATE | MS_REC, NULL) ||
	    mount("e", "/etc", "tmpfs", 0, ""))
		return 1;
	if (resolv_write(NAME, &resolvers))
		return 2;
	return access("/etc/netns", F_OK) ? 0 : 3;
}

static int remove_inside(const void *arg)
{
	(void)arg;
	if (unshare(CLONE_NEWNS) || mount("", "/", "none", MS_PRIVATE | MS_REC, NULL) ||
	    mount("e", "/etc", "tmpfs", 0, ""))
		return 1;
	return resolv_remove(NAME) ? 2 : 0;
}

static void test_other_mount_namespace(void **state)
{
	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(in_child(write_and_see, NULL), 0);
	assert_int_equal(access(FILE_PATH, F_OK), 0);
	assert_int_equal(in_child(remove_inside, NULL), 0);
	assert_int_equal(access("/etc/netns", F_OK), -1);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),       cmocka_unit_test(test_long_lines),
		cmocka_unit_test(test_fallbacks),   cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_write),       cmocka_unit_test(test_write_keeps_others),
		cmocka_unit_test(test_write_fails), cmocka_unit_test(test_other_mount_namespace),
	};

	return cmocka_run_group_tests(tests, make_root, remove_root);
}

int main(void)
{
	return sandbox(run);
}
