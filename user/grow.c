/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Programs that know the new number of connections are loaded beside those that are at work, with a table of their own
 * and all other maps the same, and pinned in COOKIE-new. Nobody begins or ends a connection while the table is copied.
 * Then the two directories change names, which is the step that there is no way back from, and the new programs take
 * the place of the old ones, one device after the other. Until all have, the new table is frozen as well: an answer
 * must not meet programs that don't know the question.
 */
#include "grow.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "datapath.h"
#include "endpoints.h"
#include "grow_table.h"
#include "host_maps.h"
#include "pins.h"
#include "uplinks.h"

#define NEW_PATH (PATH_MAX + 4)

static void new_path(const struct host *host, char path[NEW_PATH])
{
	snprintf(path, NEW_PATH, "%s-new", host->dir);
}

/* All maps but those whose length depends on how many connections there is room for, and what belongs to these. */
static bool is_shared(const char *map)
{
	static const char *const own[] = { "connections", "traffic",  "conn_index", "deadlines", "places",
					   "openings",    "bindings", "sweeps",     "pressure" };

	for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
		if (!strcmp(map, own[i]))
			return false;
	return true;
}

/*
 * Waits for programs that are running now: the kernel does so when a map in a map is replaced
 * (maybe_wait_bpf_programs() in kernel/bpf/syscall.c). membarrier() would do, but not where CPUs are nohz_full.
 */
static int wait_for_programs(void)
{
	_cleanup_close_ int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, sizeof(__u32), sizeof(__u32), 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner);
	_cleanup_close_ int outer = -1;
	__u32 zero = 0;

	if (inner < 0)
		return inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL, sizeof(__u32), sizeof(__u32), 1, &opts);
	if (outer < 0)
		return outer;
	return bpf_map_update_elem(outer, &zero, &inner, BPF_ANY);
}

/* The links are the same ones: they get another program later. */
static int pin_links(const struct host *host, const char *new, struct error *err)
{
	_cleanup_closedir_ DIR *links = NULL;
	char from[NEW_PATH + NAME_MAX + 8], to[NEW_PATH + NAME_MAX + 8];
	struct dirent *entry;

	snprintf(from, sizeof(from), "%s/links", host->dir);
	links = opendir(from);
	if (!links)
		return fail(err, EXIT_SYSTEM, "cannot read %s: %s", from, strerror(errno));
	while ((entry = readdir(links))) {
		_cleanup_close_ int link = -1;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(from, sizeof(from), "%s/links/%s", host->dir, entry->d_name);
		snprintf(to, sizeof(to), "%s/links/%s", new, entry->d_name);
		link = bpf_obj_get(from);
		if (link < 0 || bpf_obj_pin(link, to))
			return fail(err, EXIT_SYSTEM, "cannot pin %s: %s", to, strerror(errno));
	}
	return 0;
}

/* The larger table takes over what the smaller one has, in memory only: nobody knows it yet. */
static int fill(const struct nsbpf *skel, struct table *to, struct table *from, struct error *err)
{
	int ret;

	table_freeze(to);
	table_freeze(from);
	ret = wait_for_programs();
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot wait for BPF programs: %s", strerror(-ret));
	table_copy(to, from);
	ret = datapath_index(skel, to->room, err);
	if (ret > 0)
		return fail(err, EXIT_SYSTEM, "%d connections find no room in the new index; try again", ret);
	return ret || datapath_make_sweep(skel, err) ? -1 : 0;
}

struct replacing {
	struct host *host;
	struct error *err;
	bool failed; /* somewhere: err says where at first */
};

/* A device that is gone needs no program; and one that will not have it must not keep the others waiting. */
static void replace(struct replacing *r, __u32 ifindex, enum hook hook)
{
	struct error err;

	if (!link_exists(r->host->nl, ifindex) && datapath_attach(r->host, ifindex, hook, &err)) {
		if (!r->failed)
			*r->err = err;
		r->failed = true;
	}
}

static int replace_on_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	(void)slot;
	if (endpoint->state == SLOT_READY) { /* else `add` makes it anew */
		replace(arg, endpoint->ifindex, HOOK_FROM_ENDPOINT);
		replace(arg, endpoint->ifindex, HOOK_TO_ENDPOINT);
	}
	return 0;
}

static int replace_on_uplink(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	(void)uplink;
	replace(arg, ifindex, HOOK_FROM_UPLINK);
	return 0;
}

/* They use none of the maps that are new: it is only that nothing of the old object stays in the kernel. Where there is
 * no cgroup2 there are none. */
static void replace_socket_hooks(const struct host *host, const struct nsbpf *skel)
{
	const char *hook;

	for (size_t i = 0; (hook = datapath_socket_hook(i)); i++) {
		_cleanup_close_ int link = -1;
		char path[PATH_MAX];

		host_path(host, "links", hook, path);
		link = bpf_obj_get(path);
		if (link >= 0)
			bpf_link_update(link, datapath_program(skel, hook), NULL);
	}
}

/* The directories have changed names: packets come to the larger table, and what has been counted meanwhile follows. */
static int finish(struct host *host, struct table *to, const struct table *from, struct error *err)
{
	struct replacing r = { .host = host, .err = err };
	int ret;

	__atomic_store_n(&host->settings->connections, to->room, __ATOMIC_RELAXED);
	endpoint_each(host, replace_on_endpoint, &r);
	uplink_each(host, replace_on_uplink, &r);
	ret = wait_for_programs();
	if (ret && !r.failed) {
		fail(err, EXIT_SYSTEM, "cannot wait for BPF programs: %s", strerror(-ret));
		r.failed = true;
	}
	table_merge(to, from);
	table_thaw(to);
	return r.failed ? -1 : 0;
}

static int exchange(struct host *host, const char *new, struct error *err)
{
	if (renameat2(AT_FDCWD, new, AT_FDCWD, host->dir, RENAME_EXCHANGE))
		return fail(err, EXIT_SYSTEM, "cannot exchange %s and %s: %s", new, host->dir, strerror(errno));
	host_maps_close(host);
	if (!host_maps_open(host, err))
		return 0;
	renameat2(AT_FDCWD, new, AT_FDCWD, host->dir, RENAME_EXCHANGE);
	return -1;
}

static int take_over(struct host *host, const struct nsbpf *skel, const char *new, struct error *err)
{
	struct table to, from;
	int ret = table_open(&from, host->dir);

	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot map the maps of %s: %s", host->dir, strerror(-ret));
	ret = table_open(&to, new);
	if (ret) {
		table_close(&from);
		return fail(err, EXIT_SYSTEM, "cannot map the maps of %s: %s", new, strerror(-ret));
	}
	if (fill(skel, &to, &from, err) || exchange(host, new, err)) {
		table_thaw(&from);
		ret = -1;
	} else {
		ret = finish(host, &to, &from, err);
		replace_socket_hooks(host, skel);
	}
	table_close(&to);
	table_close(&from);
	return ret;
}

/* Ctrl-C waits: a table must not stay frozen. */
static void hold_signals(sigset_t *before)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigprocmask(SIG_BLOCK, &signals, before);
}

int host_grow(struct host *host, __u32 connections, struct error *err)
{
	const struct datapath_options options = {
		.netns_cookie = host->cookie, .connections = connections, .share_from = host->dir, .shares = is_shared
	};
	struct nsbpf *skel = datapath_open(&options, err);
	sigset_t before;
	char new[NEW_PATH];
	int ret;

	if (!skel)
		return -1;
	new_path(host, new);
	if (mkdir(new, 0700)) {
		ret = fail(err, EXIT_SYSTEM, "cannot make %s: %s", new, strerror(errno));
	} else {
		hold_signals(&before);
		ret = datapath_pin(skel, new, err) || pin_links(host, new, err) || take_over(host, skel, new, err) ? -1
														   : 0;
		if (pins_remove(new) && !ret)
			ret = fail(err, EXIT_SYSTEM, "cannot remove %s: %s", new, strerror(errno));
		sigprocmask(SIG_SETMASK, &before, NULL);
	}
	datapath_close(skel);
	return ret;
}

int host_grow_recover(struct host *host, struct error *err)
{
	struct table table, other;
	char new[NEW_PATH];
	int ret = 0;

	new_path(host, new);
	if (!host->pressure->frozen && access(new, F_OK))
		return 0;
	if (table_open(&table, host->dir))
		return fail(err, EXIT_SYSTEM, "cannot map the maps of %s: %s", host->dir, strerror(errno));
	/* The directories have changed names if the other table is the smaller one. */
	if (host->pressure->frozen && !table_open(&other, new)) {
		if (other.room < table.room)
			ret = finish(host, &table, &other, err);
		table_close(&other);
	}
	table_thaw(&table);
	table_close(&table);
	if (pins_remove(new) && !ret)
		ret = fail(err, EXIT_SYSTEM, "cannot remove %s: %s", new, strerror(errno));
	return ret;
}
