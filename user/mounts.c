/* SPDX-License-Identifier: GPL-2.0-only */
/* The machine's mount namespace: how its files are named, how to work in it, and what is mounted there. */
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

#include "cleanup.h"

/* The parent, from the fourth field of /proc/PID/stat; the second is a name in parentheses that may hold anything. */
static pid_t parent_of(pid_t pid)
{
	_cleanup_fclose_ FILE *f = NULL;
	char path[64], line[512], *end;
	int parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	f = fopen(path, "re");
	if (!f || !fgets(line, sizeof(line), f))
		return 0;
	end = strrchr(line, ')');
	return end && sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

static bool stat_mount_namespace(pid_t pid, struct stat *st)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", pid);
	return !stat(path, st);
}

/*
 * The process whose mount namespace is taken for the machine's: process 1; where that has capabilities that we lack,
 * and so is out of our reach (ptrace(2), access mode checking), our oldest ancestor that is not. 0 if it is our own.
 */
static pid_t find_root_process(void)
{
	struct stat own, theirs;
	pid_t root = getpid();

	if (stat_mount_namespace(1, &theirs)) {
		root = 1;
	} else {
		for (pid_t pid = getppid(); pid > 1; pid = parent_of(pid))
			if (stat_mount_namespace(pid, &theirs))
				root = pid;
	}
	if (!stat_mount_namespace(getpid(), &own) || !stat_mount_namespace(root, &theirs) ||
	    (own.st_dev == theirs.st_dev && own.st_ino == theirs.st_ino))
		return 0;
	return root;
}

/* Found once in the life of a process: listings ask for each namespace. */
static struct {
	pid_t asked_by, root;
} known;

static pid_t root_process(void)
{
	if (known.asked_by != getpid()) {
		known.root = find_root_process();
		known.asked_by = getpid();
	}
	return known.root;
}

const char *root_prefix(void)
{
	static char prefix[ROOT_PREFIX_MAX];

	pid_t root = root_process();

	if (!root)
		return "";
	snprintf(prefix, sizeof(prefix), "/proc/%d/root", root);
	return prefix;
}

static int enter_root(void)
{
	_cleanup_close_ int namespace = -1, top = -1;
	pid_t root = root_process();
	char path[64];

	if (!root)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/ns/mnt", root);
	namespace = open(path, O_RDONLY | O_CLOEXEC);
	snprintf(path, sizeof(path), "/proc/%d/root", root);
	top = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (namespace < 0 || top < 0 || setns(namespace, CLONE_NEWNS) < 0)
		return -errno;
	known.asked_by = 0;
	/* setns() leads to the root of the mount namespace, which is not that of the process if it is in a chroot. */
	return fchdir(top) < 0 || chroot(".") < 0 ? -errno : 0;
}

int run_in_root(int (*work)(void *arg), void *arg)
{
	int ends[2], result;
	ssize_t len;
	pid_t pid;

	/* a pipe and not the exit status: that is lost where the caller was started with SIGCHLD ignored */
	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	pid = fork();
	if (pid < 0) {
		result = -errno;
		close(ends[0]);
		close(ends[1]);
		return result;
	}
	if (!pid) {
		result = enter_root();
		if (!result)
			result = work(arg);
		_exit(write(ends[1], &result, sizeof(result)) != sizeof(result));
	}

	close(ends[1]);
	do
		len = read(ends[0], &result, sizeof(result));
	while (len < 0 && errno == EINTR);
	close(ends[0]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return len == sizeof(result) ? result : -EIO; /* it was killed */
}

/* "\040" and the like, see mangle_path() in the kernel's fs/seq_file.c. */
static void unescape(char *text)
{
	char *to = text;

	for (const char *from = text; *from; to++) {
		if (from[0] == '\\' && from[1] && from[2] && from[3]) {
			*to = (from[1] - '0') << 6 | (from[2] - '0') << 3 | (from[3] - '0');
			from += 4;
		} else {
			*to = *from++;
		}
	}
	*to = '\0';
}

struct mount {
	unsigned int major, minor;
	char *root, *point, *fstype; /* within the line */
};

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": see proc_pid_mountinfo(5). */
static bool parse_mount(char *line, struct mount *mount)
{
	char *dash = strstr(line, " - "), *device, *save;

	if (!dash)
		return false;
	*dash = '\0';
	mount->fstype = strtok_r(dash + 3, " ", &save);

	strtok_r(line, " ", &save); /* its own number */
	strtok_r(NULL, " ", &save); /* its parent's */
	device = strtok_r(NULL, " ", &save);
	mount->root = strtok_r(NULL, " ", &save);
	mount->point = strtok_r(NULL, " ", &save);
	if (!mount->fstype || !mount->point || sscanf(device, "%u:%u", &mount->major, &mount->minor) != 2)
		return false;
	unescape(mount->root);
	unescape(mount->point);
	return true;
}

/* False for a mount that is hidden under another one. */
static bool is_visible(const struct mount *mount, const char *path)
{
	struct stat st;

	return !stat(path, &st) && st.st_dev == makedev(mount->major, mount->minor);
}

int mount_find(const char *fstype, const char *preferred, char path[PATH_MAX])
{
	const char *prefix = root_prefix();
	pid_t root = root_process();
	_cleanup_fclose_ FILE *f = NULL;
	_cleanup_free_ char *line = NULL;
	char candidate[PATH_MAX];
	struct mount mount;
	size_t size = 0;
	bool found = false;

	snprintf(candidate, sizeof(candidate), "/proc/%d/mountinfo", root ? root : getpid());
	f = fopen(candidate, "re");
	if (!f)
		return -errno;
	while (getline(&line, &size, f) >= 0) {
		bool is_preferred;

		if (!parse_mount(line, &mount) || strcmp(mount.fstype, fstype) || strcmp(mount.root, "/"))
			continue;
		is_preferred = !strcmp(mount.point, preferred);
		if (found && !is_preferred)
			continue;
		if (snprintf(candidate, PATH_MAX, "%s%s", prefix, mount.point) >= PATH_MAX)
			continue;
		if (!is_visible(&mount, candidate))
			continue;
		strcpy(path, candidate);
		found = true;
		if (is_preferred)
			return 0;
	}
	if (ferror(f))
		return -EIO;
	return found ? 0 : -ENOENT;
}
