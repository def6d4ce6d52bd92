/* SPDX-License-Identifier: GPL-2.0-only */
/* Working in process 1's mount namespace, finding mounts in it, and what a process sees that enters a namespace. */
#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cmocka.h>

#include "netns.h"
#include "sandbox.h"

#define NAME "nsbpf-ut"
#define ODD_PATH "/run/a b\\c\td" /* mountinfo escapes each of these */

/* The text of a file, "" if it can't be read. */
static const char *text_of(const char *path)
{
	static char text[16384];
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[len < 0 ? 0 : len] = '\0';
	if (fd >= 0)
		close(fd);
	return text;
}

static bool is_fs(const char *path, long magic)
{
	struct statfs fs;

	return !statfs(path, &fs) && fs.f_type == magic;
}

/* Another mount namespace, in which changes stay. */
static int unshare_mounts(void)
{
	return unshare(CLONE_NEWNS) || mount("", "/", "none", MS_PRIVATE | MS_REC, NULL);
}

static int return_value(void *arg)
{
	return *(int *)arg;
}

static int die(void *arg)
{
	(void)arg;
	return raise(SIGKILL);
}

static int see_prefix(void *arg)
{
	(void)arg;
	return *root_prefix() ? -EXDEV : 0;
}

static int make_directory(void *arg)
{
	return mkdir(arg, 0700) < 0 ? -errno : 0;
}

static int outside_from_inside(const void *arg)
{
	(void)arg;
	if (unshare_mounts() || mount("run", "/run", "tmpfs", 0, NULL) || strcmp(root_prefix(), "/proc/1/root"))
		return 1;
	if (run_in_root(see_prefix, NULL) || run_in_root(make_directory, "/run/made-outside"))
		return 2;
	if (!access("/run/made-outside", F_OK) || access("/proc/1/root/run/made-outside", F_OK))
		return 3;
	return strcmp(root_prefix(), "/proc/1/root") ? 4 : 0;
}

static void test_run_in_root(void **state)
{
	static const int values[] = { 0, -1, -ENOENT, -4095, 7 };
	struct stat st;

	(void)state;
	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		assert_int_equal(run_in_root(return_value, (void *)&values[i]), values[i]);
	assert_int_equal(run_in_root(die, NULL), -EIO);

	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(run_in_root(return_value, (void *)&values[2]), -ENOENT);
	signal(SIGCHLD, SIG_DFL);

	if (!sandboxed)
		skip();
	assert_string_equal(root_prefix(), "");
	assert_int_equal(in_child(outside_from_inside, NULL), 0);
	assert_int_equal(stat("/run/made-outside", &st), 0);
	assert_int_equal(rmdir("/run/made-outside"), 0);
}

static int find_from_inside(const void *arg)
{
	char path[PATH_MAX];

	(void)arg;
	if (unshare_mounts() || umount2(ODD_PATH, MNT_DETACH))
		return 1;
	if (mount_find("bpf", ODD_PATH, path) || strcmp(path, "/proc/1/root" ODD_PATH))
		return 2;
	return is_fs(path, BPF_FS_MAGIC) ? 0 : 3;
}

static void test_mount_find(void **state)
{
	char path[PATH_MAX] = "untouched";

	(void)state;
	assert_int_equal(mount_find("no-such-fs", "/", path), -ENOENT);
	assert_string_equal(path, "untouched");
	assert_int_equal(mount_find("proc", "/proc", path), 0);
	assert_string_equal(path, "/proc");
	if (!sandboxed)
		skip();

	while (!mount_find("bpf", "", path)) /* our copies of what the machine has mounted */
		assert_int_equal(umount2(path, MNT_DETACH), 0);
	assert_int_equal(mkdir("/run/first", 0755), 0);
	assert_int_equal(mkdir(ODD_PATH, 0755), 0);
	assert_int_equal(mount("bpf", "/run/first", "bpf", 0, NULL), 0);
	assert_int_equal(mount("bpf", ODD_PATH, "bpf", 0, NULL), 0);

	assert_int_equal(mount_find("bpf", "/sys/fs/bpf", path), 0);
	assert_string_equal(path, "/run/first");
	assert_int_equal(mount_find("bpf", ODD_PATH, path), 0);
	assert_string_equal(path, ODD_PATH);
	assert_int_equal(in_child(find_from_inside, NULL), 0);

	/* hidden under another mount */
	assert_int_equal(mount("tmpfs", "/run/first", "tmpfs", 0, NULL), 0);
	assert_int_equal(mount_find("bpf", "/run/first", path), 0);
	assert_string_equal(path, ODD_PATH);
	assert_int_equal(umount2("/run/first", MNT_DETACH), 0);

	/* a directory of one, mounted elsewhere, is none */
	assert_int_equal(umount2("/run/first", MNT_DETACH), 0);
	assert_int_equal(mkdir(ODD_PATH "/sub", 0755), 0);
	assert_int_equal(mount(ODD_PATH "/sub", "/run/first", "none", MS_BIND, NULL), 0);
	assert_int_equal(umount2(ODD_PATH, MNT_DETACH), 0);
	assert_true(is_fs("/run/first", BPF_FS_MAGIC));
	assert_int_equal(mount_find("bpf", "/run/first", path), -ENOENT);
	assert_int_equal(umount2("/run/first", MNT_DETACH), 0);
}

struct view {
	bool bpf;          /* is one mounted on /sys/fs/bpf, and NAME a directory in it? */
	char cgroup2[256]; /* "" where there is none */
};

static struct view take_view(void)
{
	struct view view = { .bpf = is_fs("/sys/fs/bpf/" NAME, BPF_FS_MAGIC) };
	char path[PATH_MAX];

	if (!mount_find("cgroup2", "/sys/fs/cgroup", path))
		snprintf(view.cgroup2, sizeof(view.cgroup2), "%.255s", path);
	return view;
}

static int enter(const void *arg)
{
	const struct view *before = arg;
	int fd = netns_open(NAME);
	struct stat ns, own;

	if (fd < 0 || netns_enter(fd, NAME))
		return 1;
	if (fstat(fd, &ns) || stat("/proc/self/ns/net", &own) || ns.st_ino != own.st_ino)
		return 2;
	/* lo is up in the namespace, and down in the sandbox */
	if (strcmp(text_of("/sys/class/net/lo/flags"), "0x9\n"))
		return 3;
	if (is_fs("/sys/fs/bpf/" NAME, BPF_FS_MAGIC) != before->bpf ||
	    is_fs("/sys/fs/bpf", BPF_FS_MAGIC) != before->bpf)
		return 4;
	if (*before->cgroup2 && !is_fs(before->cgroup2, CGROUP2_SUPER_MAGIC))
		return 5;
	if (strcmp(text_of("/etc/hosts"), "192.0.2.9 other\n") || strcmp(text_of("/etc/dir/file"), "inner\n"))
		return 6;
	if (strcmp(text_of("/etc/resolv.conf"), "nameserver 192.0.2.53\n") || !access("/etc/alone", F_OK))
		return 7;
	return is_fs("/sys", SYSFS_MAGIC) ? 0 : 8;
}

static void check_enter(void)
{
	char *mounts = strdup(text_of("/proc/self/mountinfo"));
	struct view view = take_view();

	assert_int_equal(in_child(enter, &view), 0);
	assert_string_equal(text_of("/proc/self/mountinfo"), mounts);
	assert_string_equal(text_of("/etc/hosts"), "127.0.0.1 localhost\n");
	assert_string_equal(text_of("/sys/class/net/lo/flags"), "0x8\n");
	free(mounts);
}

static int enter_plainly(const void *arg)
{
	int fd = netns_open(NAME);

	(void)arg;
	if (fd < 0 || netns_enter(fd, NAME))
		return 1;
	return strcmp(text_of("/etc/hosts"), "127.0.0.1 localhost\n") ? 2 : 0;
}

static int enter_wrongly(const void *arg)
{
	int fd = open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC);

	(void)arg;
	if (netns_enter(fd, NAME) != -EINVAL)
		return 1;
	if (netns_enter(-1, NAME) != -EBADF)
		return 2;
	close(fd);
	return 0;
}

/* A directory can't be bound over a file: better no command than one with half its files. */
static int enter_with_bad_entry(const void *arg)
{
	(void)arg;
	return netns_enter(netns_open(NAME), NAME) == -ENOTDIR ? 0 : 1;
}

static void test_enter(void **state)
{
	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(umount2("/sys", MNT_DETACH), 0); /* it shows another network namespace's devices */
	assert_int_equal(mount("sysfs", "/sys", "sysfs", 0, NULL), 0);
	assert_int_equal(netns_add(NAME), 0);
	assert_int_equal(in_child(enter_plainly, NULL), 0);
	assert_int_equal(in_child(enter_wrongly, NULL), 0);

	assert_int_equal(mkdir("/etc/dir", 0755), 0);
	assert_int_equal(mkdir("/etc/netns", 0755), 0);
	assert_int_equal(mkdir("/etc/netns/" NAME, 0755), 0);
	assert_int_equal(in_child(enter_plainly, NULL), 0);
	assert_int_equal(mkdir("/etc/netns/" NAME "/dir", 0755), 0);
	put_file("/etc/netns/" NAME "/hosts", "192.0.2.9 other\n");
	put_file("/etc/netns/" NAME "/alone", "nothing in /etc is called so\n");
	put_file("/etc/netns/" NAME "/dir/file", "inner\n");
	check_enter();

	assert_int_equal(mount("bpf", "/sys/fs/bpf", "bpf", 0, NULL), 0);
	assert_int_equal(mkdir("/sys/fs/bpf/" NAME, 0755), 0);
	check_enter();

	assert_int_equal(mkdir("/etc/netns/" NAME "/resolv.conf", 0755), 0);
	assert_int_equal(in_child(enter_with_bad_entry, NULL), 0);
	assert_int_equal(netns_delete(NAME), 0);
}

/* As test_enter(), with the cgroups mounted that a host has: those of the machine went with its /sys. */
static void test_enter_keeps_cgroup(void **state)
{
	(void)state;
	if (!sandboxed)
		skip();
	assert_int_equal(rmdir("/etc/netns/" NAME "/resolv.conf"), 0);
	assert_int_equal(netns_add(NAME), 0);
	assert_int_equal(mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, NULL), 0);
	check_enter();
	assert_int_equal(umount2("/sys/fs/cgroup", MNT_DETACH), 0);

	/* the layout with version 1 beside it */
	assert_int_equal(mount("cgroups", "/sys/fs/cgroup", "tmpfs", 0, "mode=755"), 0);
	assert_int_equal(mkdir("/sys/fs/cgroup/unified", 0755), 0);
	assert_int_equal(mount("cgroup2", "/sys/fs/cgroup/unified", "cgroup2", 0, NULL), 0);
	assert_string_equal(take_view().cgroup2, "/sys/fs/cgroup/unified");
	check_enter();
	assert_int_equal(netns_delete(NAME), 0);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_run_in_root),
		cmocka_unit_test(test_mount_find),
		cmocka_unit_test(test_enter),
		cmocka_unit_test(test_enter_keeps_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return sandbox(run);
}
