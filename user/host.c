/* SPDX-License-Identifier: GPL-2.0-only */
/* Where a host's state is, who may change it, and how it starts and stops. */
#include "host.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "datapath.h"
#include "events.h"
#include "forwarding.h"
#include "grow.h"
#include "host_maps.h"
#include "netns.h"
#include "pins.h"
#include "refresh.h"

#define BPFFS "/sys/fs/bpf"

void host_path(const struct host *host, const char *sub, const char *name, char path[PATH_MAX])
{
	/* dir is BPFFS and 40 bytes more, sub and name are ours: only an absurd mount point can be cut here, and a path
	 * that is cut names nothing. */
	if (snprintf(path, PATH_MAX, "%s/%s/%s", host->dir, sub, name) >= PATH_MAX)
		path[0] = '\0';
}

/* Puts the paths in place; bpffs may not be mounted yet. */
static int find_paths(struct host *host)
{
	char bpffs[PATH_MAX];
	int ret = mount_find("bpf", BPFFS, bpffs);

	if (ret)
		return ret;
	if (snprintf(host->top, sizeof(host->top), "%s/nsbpf", bpffs) >= PATH_MAX ||
	    snprintf(host->dir, sizeof(host->dir), "%s/nsbpf/%016llx", bpffs, host->cookie) >= PATH_MAX)
		return -ENAMETOOLONG;
	return 0;
}

static int init(struct host *host, struct error *err)
{
	int ret;

	memset(host, 0, sizeof(*host));
	host->lock = -1;
	memset(host->maps, -1, sizeof(host->maps));
	memset(host->programs, -1, sizeof(host->programs));
	datapath_init();
	if (geteuid() != 0)
		return fail(err, EXIT_SYSTEM, "only root can do this");
	ret = netns_cookie(&host->cookie);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot tell this network namespace: %s", strerror(-ret));
	ret = find_paths(host);
	if (ret && ret != -ENOENT)
		return fail(err, EXIT_SYSTEM, "cannot find bpffs: %s", strerror(-ret));
	ret = nl_open(&host->nl);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot open a netlink socket: %s", strerror(-ret));
	return 0;
}

/* Without the lock `down` may take the directory away between two maps, and an `add` put another one there. */
#define OPEN_TRIES 5

static int open_if_running(struct host *host, struct error *err)
{
	for (int try = 1;; try++) {
		host->damaged = false;
		if (!host->top[0] || access(host->dir, F_OK))
			return 0;
		if (!host_maps_open(host, err))
			return 0;
		if (!host->damaged || try == OPEN_TRIES)
			return -1;
		host_maps_close(host);
	}
}

int host_open(struct host *host, struct error *err)
{
	return init(host, err) || open_if_running(host, err) ? -1 : 0;
}

static int mount_bpffs(void *arg)
{
	(void)arg;
	return mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") ? -errno : 0;
}

/* bpffs stays mounted when nsbpf goes, as systemd has it from the start: others may have come to rely on it. */
static int require_bpffs(struct host *host, struct error *err)
{
	int ret;

	if (host->top[0])
		return 0;
	ret = find_paths(host);
	if (ret == -ENOENT) {
		ret = run_in_root(mount_bpffs, NULL);
		if (ret)
			return fail(err, EXIT_SYSTEM, "cannot mount bpffs on " BPFFS ": %s", strerror(-ret));
		ret = find_paths(host);
	}
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot find bpffs: %s", strerror(-ret));
	return 0;
}

/* The lock is on the directory that all hosts share: namespaces' names, too, are the whole machine's. */
static int take_lock(struct host *host, struct error *err)
{
	struct stat locked, now;

	for (;;) {
		if (mkdir(host->top, 0700) && errno != EEXIST)
			return fail(err, EXIT_SYSTEM, "cannot make %s: %s", host->top, strerror(errno));
		host->lock = open(host->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (host->lock < 0 && errno == ENOENT)
			continue;
		if (host->lock < 0)
			return fail(err, EXIT_SYSTEM, "cannot open %s: %s", host->top, strerror(errno));
		while (flock(host->lock, LOCK_EX))
			if (errno != EINTR)
				return fail(err, EXIT_SYSTEM, "cannot lock %s: %s", host->top, strerror(errno));
		/* The last `down` removes the directory: then this is the lock of one that is no more. */
		if (!fstat(host->lock, &locked) && !stat(host->top, &now) && locked.st_ino == now.st_ino)
			return 0;
		close(host->lock);
		host->lock = -1;
	}
}

int host_change(struct host *host, struct error *err)
{
	if (init(host, err) || require_bpffs(host, err) || take_lock(host, err))
		return -1;
	if (open_if_running(host, err))
		return -1;
	if (host->running && host->settings->listeners)
		events_tidy(host);
	return host->running ? host_grow_recover(host, err) : 0;
}

/* Loads into a directory of another name, which becomes the host's in one step. (Names in bpffs may hold no dots: see
 * bpf_lookup() in kernel/bpf/inode.c.) */
static int load(struct host *host, struct error *err)
{
	char new[PATH_MAX + 4];

	snprintf(new, sizeof(new), "%s-new", host->dir);
	if (pins_remove(new) || mkdir(new, 0700))
		return fail(err, EXIT_SYSTEM, "cannot make %s: %s", new, strerror(errno));
	if (datapath_load(new, host->cookie, host->connections ? host->connections : NSBPF_CONNECTIONS, err)) {
		pins_remove(new);
		return -1;
	}
	if (rename(new, host->dir)) {
		fail(err, EXIT_SYSTEM, "cannot rename %s: %s", new, strerror(errno));
		pins_remove(new);
		return -1;
	}
	host->started = true;
	return host_maps_open(host, err);
}

int host_start(struct host *host, struct error *err)
{
	if (!host->running && load(host, err))
		return -1;
	return refresh(host, err);
}

int host_stop(struct host *host, struct error *err)
{
	char old[PATH_MAX + 4];

	if ((host->running || host->damaged) && forwarding_restore(host, err))
		return -1;
	/* Renamed first: what is removed in part must not look like a host. */
	snprintf(old, sizeof(old), "%s-old", host->dir);
	if (pins_remove(old) || (rename(host->dir, old) && errno != ENOENT) || pins_remove(old))
		return fail(err, EXIT_SYSTEM, "cannot remove %s: %s", host->dir, strerror(errno));
	snprintf(old, sizeof(old), "%s-new", host->dir);
	if (pins_remove(old))
		return fail(err, EXIT_SYSTEM, "cannot remove %s: %s", old, strerror(errno));
	host->running = false;
	return 0;
}

void host_close(struct host *host)
{
	host_maps_close(host);
	if (host->lock >= 0) {
		/* Succeeds only for the last host of the machine, and while we have the lock. */
		rmdir(host->top);
		close(host->lock);
	}
	nl_close(host->nl);
}

int host_each_dir(const struct host *host, int (*each)(const char *dir, void *arg), void *arg)
{
	_cleanup_closedir_ DIR *top = opendir(host->top);
	char path[PATH_MAX + NAME_MAX + 2];
	struct dirent *entry;
	int ret = 0;

	if (!top)
		return errno == ENOENT ? 0 : -errno;
	while (!ret && (entry = readdir(top))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", host->top, entry->d_name);
		ret = each(path, arg);
	}
	return ret;
}
