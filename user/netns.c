/* SPDX-License-Identifier: GPL-2.0-only */
/* Named network namespaces, compatible with those of `ip netns`. */
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>

#include "addr.h"
#include "cleanup.h"

#define NETNS_DIR "/run/netns"
#define NETNS_PATH 128 /* enough for "/proc/PID/root/run/netns/NAME" and "/etc/netns/NAME" */

_Static_assert(NETNS_PATH > ROOT_PREFIX_MAX + sizeof(NETNS_DIR "/") + NSBPF_NAME_MAX, "a path of every name fits");

static int netns_path(const char *prefix, const char *name, char path[NETNS_PATH])
{
	if (name_check(name))
		return -EINVAL;
	snprintf(path, NETNS_PATH, "%s" NETNS_DIR "/%s", prefix, name);
	return 0;
}

/* A network namespace, and not another sort of one or a file of another file system? */
static bool is_netns(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC && ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

int netns_open(const char *name)
{
	char path[NETNS_PATH];
	int fd, ret;

	ret = netns_path(root_prefix(), name, path);
	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (!is_netns(fd)) {
		close(fd);
		return -EINVAL;
	}
	return fd;
}

int netns_get(const char *name, ino_t *ino)
{
	_cleanup_close_ int fd = netns_open(name);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	*ino = st.st_ino;
	return 0;
}

/* /run/netns, its lock held until the descriptor is closed, as a shared mount: names then come and go in all mount
 * namespaces together. iproute2 takes the same lock here, as two at once would stack mounts on the directory. */
static int open_dir(void)
{
	int fd, err;

	if (mkdir(NETNS_DIR, 0755) < 0 && errno != EEXIST)
		return -errno;
	fd = open(NETNS_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (flock(fd, LOCK_EX) < 0) {
		if (errno != EINTR)
			goto undo;
	}
	if (!mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL))
		return fd;
	/* EINVAL: it is no mount point yet */
	if (errno == EINVAL && !mount(NETNS_DIR, NETNS_DIR, "none", MS_BIND | MS_REC, NULL) &&
	    !mount("", NETNS_DIR, "none", MS_SHARED | MS_REC, NULL))
		return fd;
undo:
	err = -errno;
	close(fd);
	return err;
}

/* A file without its namespace, as `ip netns add` killed half-way leaves it; not one with anything mounted on it. */
static bool is_left_over(const char *path, int dir)
{
	struct stat st, parent;

	return !lstat(path, &st) && !fstat(dir, &parent) && S_ISREG(st.st_mode) && st.st_dev == parent.st_dev;
}

static int set_lo_up(void)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };

	return fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0 ? -errno : 0;
}

/* Runs in a child, so that it may leave its namespaces. */
static int add_in_root(void *arg)
{
	const char *name = arg;
	_cleanup_close_ int dir = -1, file = -1;
	char path[NETNS_PATH];
	int ret;

	/* what is likely to fail first: until here there is nothing to undo */
	if (unshare(CLONE_NEWNET) < 0)
		return -errno;
	ret = set_lo_up();
	if (!ret)
		ret = netns_path("", name, path);
	if (ret)
		return ret;

	umask(022);
	dir = open_dir();
	if (dir < 0)
		return dir;
	file = open(path, O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0);
	if (file < 0 && (errno != EEXIST || !is_left_over(path, dir)))
		return -errno;

	if (!mount("/proc/self/ns/net", path, "none", MS_BIND, NULL))
		return 0;
	ret = -errno;
	if (file >= 0)
		unlink(path);
	return ret;
}

int netns_add(const char *name)
{
	return name_check(name) ? -EINVAL : run_in_root(add_in_root, (void *)name);
}

static int delete_in_root(void *arg)
{
	const char *name = arg;
	char path[NETNS_PATH];
	int ret;

	ret = netns_path("", name, path);
	if (ret)
		return ret;
	/* several may lie on each other; EINVAL: no more of them */
	while (!umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW))
		;
	if (errno != EINVAL)
		return -errno;
	return unlink(path) < 0 ? -errno : 0;
}

int netns_delete(const char *name)
{
	return name_check(name) ? -EINVAL : run_in_root(delete_in_root, (void *)name);
}

int netns_cookie(unsigned long long *cookie)
{
	_cleanup_close_ int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	unsigned long long value;
	socklen_t len = sizeof(value);

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &value, &len) < 0)
		return -errno;
	*cookie = value;
	return 0;
}

/* A detached copy of what is mounted on path and below it; -ENOENT if nothing is. */
static int clone_mount(const char *path)
{
	struct stat st, parent;
	int fd;

	if (stat(path, &st) < 0 || stat("/sys/fs", &parent) < 0)
		return -errno;
	if (st.st_dev == parent.st_dev)
		return -ENOENT;
	fd = open_tree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_RECURSIVE);
	return fd < 0 ? -errno : fd;
}

/* A /sys that shows the devices of the network namespace we are in. */
static int replace_sys(void)
{
	static const char *const kept[] = { "/sys/fs/cgroup", "/sys/fs/bpf" };
	unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
	struct statvfs sys;
	int ret = 0, fds[2];

	for (int i = 0; i < 2; i++)
		fds[i] = clone_mount(kept[i]);

	/* like iproute2: in a container /sys may be locked and read-only, and then the one over it has to be, too */
	if (umount2("/sys", MNT_DETACH) < 0 && !statvfs("/sys", &sys) && sys.f_flag & ST_RDONLY)
		flags |= MS_RDONLY;
	if (mount("sysfs", "/sys", "sysfs", flags, NULL) < 0)
		ret = -errno;

	for (int i = 0; i < 2; i++) {
		if (!ret && fds[i] < 0 && fds[i] != -ENOENT)
			ret = fds[i];
		if (!ret && fds[i] >= 0 && move_mount(fds[i], "", AT_FDCWD, kept[i], MOVE_MOUNT_F_EMPTY_PATH) < 0)
			ret = -errno;
		if (fds[i] >= 0)
			close(fds[i]);
	}
	return ret;
}

static int bind_etc(const char *name)
{
	char path[NETNS_PATH], from[PATH_MAX], to[PATH_MAX];
	_cleanup_closedir_ DIR *dir = NULL;
	struct dirent *entry;

	snprintf(path, sizeof(path), "/etc/netns/%s", name);
	dir = opendir(path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while (errno = 0, entry = readdir(dir)) {
		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		snprintf(from, sizeof(from), "%s/%s", path, entry->d_name);
		snprintf(to, sizeof(to), "/etc/%s", entry->d_name);
		if (mount(from, to, "none", MS_BIND, NULL) < 0 && errno != ENOENT)
			return -errno;
	}
	return -errno;
}

int netns_enter(int fd, const char *name)
{
	int ret;

	if (name_check(name))
		return -EINVAL;
	if (setns(fd, CLONE_NEWNET) < 0 || unshare(CLONE_NEWNS) < 0)
		return -errno;
	/* nothing of what follows may reach the mount namespace we come from */
	if (mount("", "/", "none", MS_SLAVE | MS_REC, NULL) < 0)
		return -errno;
	ret = replace_sys();
	return ret ? ret : bind_etc(name);
}
