/* SPDX-License-Identifier: GPL-2.0-only */
/* Named namespaces, together with iproute2's, and from inside other mount namespaces. */
#include <errno.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "netns.h"
#include "sandbox.h"

#define DIR_PATH "/run/netns"
#define PARALLEL 8

static char name[32], path[64]; /* "nsbpf-ut-PID" and its file */
static char self[PATH_MAX];     /* this program */

static int shell(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
static int shell(const char *fmt, ...)
{
	char line[2 * PATH_MAX];
	va_list args;
	int status;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	status = system(line);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

static ino_t own_ino(const char *ns)
{
	char link[64];
	struct stat st;

	snprintf(link, sizeof(link), "/proc/self/ns/%s", ns);
	assert_int_equal(stat(link, &st), 0);
	return st.st_ino;
}

/* How many mounts there are on a path, or in all for "". */
static int count_mounts(const char *point)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char line[4096], found[4096];
	int count = 0;

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		assert_int_equal(sscanf(line, "%*s %*s %*s %*s %4095s", found), 1);
		count += !*point || !strcmp(found, point);
	}
	fclose(f);
	return count;
}

static void assert_absent(void)
{
	ino_t ino = 42;

	assert_int_equal(netns_get(name, &ino), -ENOENT);
	assert_int_equal(ino, 42);
	assert_int_equal(netns_open(name), -ENOENT);
	assert_int_equal(netns_delete(name), -ENOENT);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(count_mounts(path), 0);
	assert_int_not_equal(shell("ip netns list | grep -qE '^%s( |$)'", name), 0);
}

static void assert_present(void)
{
	struct stat st;
	ino_t ino = 0;
	int fd;

	assert_int_equal(netns_get(name, &ino), 0);
	assert_int_not_equal(ino, 0);
	assert_int_not_equal(ino, own_ino("net"));
	fd = netns_open(name);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_ino, ino);
	close(fd);
	assert_int_equal(shell("ip netns list | grep -qE '^%s( |$)'", name), 0);
	assert_int_equal(shell("ip netns exec %s true", name), 0);
}

static void test_add_delete(void **state)
{
	ino_t net, mnt;
	struct stat st;

	(void)state;
	if (!sandboxed)
		skip();
	net = own_ino("net");
	mnt = own_ino("mnt");
	assert_absent();
	assert_int_equal(netns_add(name), 0);
	assert_present();
	assert_int_equal(netns_add(name), -EEXIST);
	assert_present();
	assert_int_equal(own_ino("net"), net);
	assert_int_equal(own_ino("mnt"), mnt);

	assert_int_equal(shell("ip -n %s -o link show lo | grep -q '[<,]UP,LOWER_UP'", name), 0);
	assert_int_equal(
		shell("ip netns exec %s ping -c1 -W1 127.0.0.1 >/dev/null 2>&1 || ! command -v ping >/dev/null", name),
		0);
	assert_int_equal(stat(DIR_PATH, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(count_mounts(DIR_PATH), 1);

	assert_int_equal(netns_delete(name), 0);
	assert_absent();
	assert_int_equal(own_ino("net"), net);
	assert_int_equal(own_ino("mnt"), mnt);
}

static void test_with_iproute2(void **state)
{
	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(shell("ip netns add %s", name), 0);
	assert_present();
	assert_int_equal(netns_add(name), -EEXIST);
	assert_int_equal(netns_delete(name), 0);
	assert_absent();

	assert_int_equal(netns_add(name), 0);
	assert_int_not_equal(shell("ip netns add %s 2>/dev/null", name), 0);
	assert_int_equal(shell("ip netns del %s", name), 0);
	assert_absent();
	assert_int_equal(netns_add(name), 0);
	assert_present();
	assert_int_equal(netns_delete(name), 0);
	assert_int_equal(count_mounts(DIR_PATH), 1);
}

static void test_left_over(void **state)
{
	ino_t ino;

	(void)state;
	if (!sandboxed)
		skip();
	put_file(path, "");
	assert_int_equal(chmod(path, 0), 0);
	assert_int_equal(netns_get(name, &ino), -EINVAL);
	assert_int_equal(netns_open(name), -EINVAL);
	assert_int_equal(netns_add(name), 0);
	assert_present();
	assert_int_equal(netns_delete(name), 0);
	assert_absent();

	put_file(path, "");
	assert_int_equal(netns_delete(name), 0);
	assert_absent();

	/* `umount` without `rm` */
	assert_int_equal(netns_add(name), 0);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_int_equal(netns_get(name, &ino), -EINVAL);
	assert_int_equal(netns_add(name), 0);
	assert_present();
	assert_int_equal(netns_delete(name), 0);
	assert_absent();
}

static void test_other_things(void **state)
{
	ino_t ino;
	int mounts;

	(void)state;
	if (!sandboxed)
		skip();
	/* a namespace, but of another type */
	put_file(path, "");
	assert_int_equal(mount("/proc/self/ns/uts", path, "none", MS_BIND, NULL), 0);
	mounts = count_mounts(path);
	assert_int_equal(netns_get(name, &ino), -EINVAL);
	assert_int_equal(netns_open(name), -EINVAL);
	assert_int_equal(netns_add(name), -EEXIST);
	assert_int_equal(count_mounts(path), mounts);
	assert_int_equal(netns_delete(name), 0);
	assert_absent();

	/* two mounts on one file */
	assert_int_equal(netns_add(name), 0);
	assert_int_equal(mount(path, path, "none", MS_BIND, NULL), 0);
	assert_true(count_mounts(path) > mounts);
	assert_int_equal(netns_delete(name), 0);
	assert_absent();

	assert_int_equal(symlink("/etc/hosts", path), 0);
	assert_int_equal(netns_add(name), -EEXIST);
	assert_int_equal(netns_delete(name), 0);
	assert_int_equal(access("/etc/hosts", F_OK), 0);
	assert_absent();

	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(netns_get(name, &ino), -EINVAL);
	assert_int_equal(netns_add(name), -EEXIST);
	assert_int_equal(rmdir(path), 0);
}

static void test_bad_names(void **state)
{
	static const char *const names[] = { "", ".", "..", "../x", "a/b", "/run/x", "-x", "a b" };
	ino_t ino;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		assert_int_equal(netns_get(names[i], &ino), -EINVAL);
		assert_int_equal(netns_open(names[i]), -EINVAL);
		assert_int_equal(netns_add(names[i]), -EINVAL);
		assert_int_equal(netns_delete(names[i]), -EINVAL);
		assert_int_equal(netns_enter(-1, names[i]), -EINVAL);
	}
}

/* Starts this program `PARALLEL` times at once; how many of them exited with `status`? `%d` in fmt is the number. */
static int count_parallel(const char *fmt, int status)
{
	char argument[64];
	pid_t pids[PARALLEL];
	int count = 0, ret;

	for (int i = 0; i < PARALLEL; i++) {
		snprintf(argument, sizeof(argument), "%s%s%d", name, fmt, *fmt ? i : 0);
		pids[i] = fork();
		assert_true(pids[i] >= 0);
		if (!pids[i]) {
			execl(self, self, "add", argument, NULL);
			_exit(255);
		}
	}
	for (int i = 0; i < PARALLEL; i++) {
		assert_int_equal(waitpid(pids[i], &ret, 0), pids[i]);
		count += WIFEXITED(ret) && WEXITSTATUS(ret) == status;
	}
	return count;
}

static void test_parallel(void **state)
{
	char each[64];
	int mounts;

	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(umount2(DIR_PATH, MNT_DETACH), 0);
	assert_int_equal(rmdir(DIR_PATH), 0);
	assert_int_equal(count_parallel("-", 0), PARALLEL);
	assert_int_equal(count_mounts(DIR_PATH), 1);
	for (int i = 0; i < PARALLEL; i++) {
		snprintf(each, sizeof(each), "%s-%d", name, i);
		assert_int_equal(netns_delete(each), 0);
	}

	snprintf(each, sizeof(each), DIR_PATH "/%s0", name);
	assert_int_equal(count_parallel("", EEXIST), PARALLEL - 1);
	mounts = count_mounts(each);
	snprintf(each, sizeof(each), "%s0", name);
	assert_int_equal(netns_delete(each), 0);

	put_file(DIR_PATH "/left-over", "");
	snprintf(each, sizeof(each), DIR_PATH "/%s0", name);
	assert_int_equal(rename(DIR_PATH "/left-over", each), 0);
	assert_int_equal(count_parallel("", EEXIST), PARALLEL - 1);
	assert_int_equal(count_mounts(each), mounts);
	snprintf(each, sizeof(each), "%s0", name);
	assert_int_equal(netns_delete(each), 0);
}

/* While `ip netns add` is making the directory a mount, we wait. */
static void test_waits_for_lock(void **state)
{
	int status, dir;
	pid_t pid;

	(void)state;
	if (!sandboxed)
		skip();
	dir = open(DIR_PATH, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(flock(dir, LOCK_EX), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (!pid) {
		execl(self, self, "add", name, NULL);
		_exit(255);
	}
	usleep(100000);
	assert_int_equal(waitpid(pid, &status, WNOHANG), 0);
	assert_int_equal(access(path, F_OK), -1);
	close(dir);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(netns_delete(name), 0);
}

/* `before` starts a command in another mount namespace: what it makes there has to be visible here, and outlive it. */
static void check_inside(const char *before)
{
	assert_absent();
	assert_int_equal(shell("%s %s add %s", before, self, name), 0);
	assert_present();
	assert_int_equal(shell("%s %s get %s", before, self, name), 0);
	assert_int_equal(shell("%s %s add %s", before, self, name), EEXIST);
	assert_int_equal(shell("%s %s delete %s", before, self, name), 0);
	assert_absent();
	assert_int_equal(shell("%s %s delete %s", before, self, name), ENOENT);
	assert_int_equal(count_mounts(DIR_PATH), 1);
}

static void test_inside(void **state)
{
	char before[128];

	(void)state;
	if (!sandboxed)
		skip();
	assert_string_equal(root_prefix(), "");
	check_inside("unshare -m");
	check_inside("unshare -n -m");
	check_inside("unshare -m --propagation slave");

	assert_int_equal(shell("ip netns add %s-outer", name), 0);
	snprintf(before, sizeof(before), "ip netns exec %s-outer", name);
	check_inside(before);
	snprintf(before, sizeof(before), "ip netns exec %s-outer unshare -m", name);
	check_inside(before);
	assert_int_equal(shell("ip netns del %s-outer", name), 0);
}

/* Added by an `ip netns add` in a private mount namespace: here there is but the left-over file. */
static void test_private_mount(void **state)
{
	ino_t ino;

	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(shell("unshare -m --propagation private ip netns add %s", name), 0);
	assert_int_equal(netns_get(name, &ino), -EINVAL);
	assert_int_equal(netns_add(name), 0);
	assert_present();
	assert_int_equal(netns_delete(name), 0);
	assert_absent();
}

static void test_cookie(void **state)
{
	unsigned long long first = 0, again = 0;

	(void)state;
	assert_int_equal(netns_cookie(&first), 0);
	assert_int_equal(netns_cookie(&again), 0);
	assert_int_not_equal(first, 0);
	assert_int_equal(first, again);
	if (!sandboxed)
		skip();
	assert_int_not_equal(shell("unshare -n %s cookie %llu", self, first), 0);
	assert_int_equal(shell("%s cookie %llu", self, first), 0);
}

/* The commands by which this program is called from another namespace. */
static int command(const char *verb, const char *argument)
{
	unsigned long long cookie;
	ino_t ino;

	if (!strcmp(verb, "add"))
		return -netns_add(argument);
	if (!strcmp(verb, "get"))
		return -netns_get(argument, &ino);
	if (!strcmp(verb, "delete"))
		return -netns_delete(argument);
	if (!strcmp(verb, "cookie"))
		return netns_cookie(&cookie) || cookie != strtoull(argument, NULL, 10);
	return 255;
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_add_delete),     cmocka_unit_test(test_with_iproute2),
		cmocka_unit_test(test_left_over),      cmocka_unit_test(test_other_things),
		cmocka_unit_test(test_bad_names),      cmocka_unit_test(test_parallel),
		cmocka_unit_test(test_waits_for_lock), cmocka_unit_test(test_inside),
		cmocka_unit_test(test_private_mount),  cmocka_unit_test(test_cookie),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(int argc, char **argv)
{
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (argc == 3)
		return command(argv[1], argv[2]);
	if (len < 0)
		return 1;
	snprintf(name, sizeof(name), "nsbpf-ut-%d", getpid());
	snprintf(path, sizeof(path), DIR_PATH "/%s", name);
	return sandbox(run);
}
