/* SPDX-License-Identifier: GPL-2.0-only */
/* Keeping the routes that the host has learned from router advertisements while forwarding is switched on. */
#include "accept_ra.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "cleanup.h"
#include "sysctl.h"

/* The devices that were changed, by number: a map that is pinned only as long as they are. */
#define RECORD "accept_ra"
#define MAX_DEVICES 4096

static int read_conf(const struct link *link, const char *name, int *value)
{
	char path[SYSCTL_PATH];

	snprintf(path, sizeof(path), "net/ipv6/conf/%s/%s", link->name, name);
	return sysctl_read(path, value);
}

static int write_accept_ra(const struct link *link, int value)
{
	char path[SYSCTL_PATH];

	snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", link->name);
	return sysctl_write(path, value);
}

static int hold(const struct link *link, void *arg)
{
	int *record = arg, accepts, forwards;
	__u32 key = link->ifindex;
	__u8 value = 1;

	if (read_conf(link, "accept_ra", &accepts) || read_conf(link, "forwarding", &forwards) || accepts != 1 ||
	    forwards)
		return 0;
	if (bpf_map_update_elem(*record, &key, &value, BPF_ANY))
		return -errno;
	return write_accept_ra(link, 2);
}

int accept_ra_hold(struct host *host)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_NO_PREALLOC);
	_cleanup_close_ int record = -1;
	char pin[PATH_MAX];

	record = bpf_map_create(BPF_MAP_TYPE_HASH, RECORD, sizeof(__u32), sizeof(__u8), MAX_DEVICES, &opts);
	if (record < 0)
		return -errno;
	host_path(host, "maps", RECORD, pin);
	if (bpf_obj_pin(record, pin))
		return -errno;
	return link_each(host->nl, hold, &record);
}

static int release(struct host *host, int record)
{
	__u32 key, *previous = NULL;
	struct link link;
	int accepts, ret;

	for (; !bpf_map_get_next_key(record, previous, &key); previous = &key) {
		/* Gone, or somebody has changed it meanwhile. */
		if (link_get_index(host->nl, key, &link) || read_conf(&link, "accept_ra", &accepts) || accepts != 2)
			continue;
		ret = write_accept_ra(&link, 1);
		if (ret)
			return ret;
	}
	return 0;
}

int accept_ra_release(struct host *host)
{
	_cleanup_close_ int record = -1;
	char pin[PATH_MAX];
	int ret;

	host_path(host, "maps", RECORD, pin);
	if (access(pin, F_OK))
		return 0;
	record = bpf_obj_get(pin);
	if (record < 0)
		return -errno;
	ret = release(host, record);
	if (ret)
		return ret;
	return unlink(pin) ? -errno : 0;
}
