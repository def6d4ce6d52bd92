/* SPDX-License-Identifier: GPL-2.0-only */
/* Opening a host's maps, which become memory if they are arrays, and the programs that commands run. */
#include "host_maps.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static const char *const map_names[HOST_MAPS] = {
	[MAP_SETTINGS] = "settings",
	[MAP_ENDPOINTS] = "endpoints",
	[MAP_NETWORKS] = "networks",
	[MAP_ADDRESSES] = "addresses",
	[MAP_UPLINKS] = "uplinks",
	[MAP_MAPPINGS] = "mappings",
	[MAP_HOST_ADDRESSES] = "host_addresses",
	[MAP_CONNECTIONS] = "connections",
	[MAP_DEADLINES] = "deadlines",
	[MAP_DROPS] = "drops",
	[MAP_ENDPOINT_STATS] = "endpoint_stats",
	[MAP_HOST_SOCKETS] = "host_sockets",
	[MAP_USAGE] = "usage",
	[MAP_PRESSURE] = "pressure",
};

static const char *const program_names[HOST_PROGRAMS] = {
	[PROGRAM_END_CONNECTION] = "end_connection",
	[PROGRAM_REVIEW_CONNECTION] = "review_connection",
};

void *map_memory(int map, size_t size, bool writable)
{
	void *memory = mmap(NULL, size, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, map, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int host_open_pin(struct host *host, const char *sub, const char *name, int *fd, struct error *err)
{
	char path[PATH_MAX];

	host_path(host, sub, name, path);
	*fd = bpf_obj_get(path);
	if (*fd >= 0)
		return 0;
	host->damaged = errno == ENOENT;
	return fail(err, EXIT_SYSTEM, "cannot open %s: %s%s", path, strerror(errno),
		    host->damaged ? " (`nsbpf check --repair` mends what it can, `nsbpf down` removes what is left)"
				  : "");
}

static int fail_to_map(const struct host *host, struct error *err)
{
	return fail(err, EXIT_SYSTEM, "cannot map the maps of %s: %s", host->dir, strerror(errno));
}

/* Before all else: another layout may have other maps. */
static int open_settings(struct host *host, struct error *err)
{
	if (host_open_pin(host, "maps", map_names[MAP_SETTINGS], &host->maps[MAP_SETTINGS], err))
		return -1;
	host->settings = map_memory(host->maps[MAP_SETTINGS], sizeof(*host->settings), host->lock >= 0);
	if (!host->settings)
		return fail_to_map(host, err);
	if (host->settings->abi != NSBPF_ABI)
		return fail(err, EXIT_SYSTEM,
			    "another version of nsbpf (layout %u, this one has %u) runs here: use that, or its `down`",
			    host->settings->abi, NSBPF_ABI);
	return 0;
}

int host_maps_open(struct host *host, struct error *err)
{
	if (open_settings(host, err))
		return -1;
	for (int map = MAP_SETTINGS + 1; map < HOST_MAPS; map++)
		if (host_open_pin(host, "maps", map_names[map], &host->maps[map], err))
			return -1;
	for (int program = 0; program < HOST_PROGRAMS; program++)
		if (host_open_pin(host, "programs", program_names[program], &host->programs[program], err))
			return -1;
	host->endpoints = map_memory(host->maps[MAP_ENDPOINTS], ENDPOINTS_SIZE, false);
	host->networks = map_memory(host->maps[MAP_NETWORKS], NETWORKS_SIZE, false);
	host->usage = map_memory(host->maps[MAP_USAGE], USAGE_SIZE, false);
	host->pressure = map_memory(host->maps[MAP_PRESSURE], sizeof(*host->pressure), false);
	if (!host->endpoints || !host->networks || !host->usage || !host->pressure)
		return fail_to_map(host, err);
	host->running = true;
	return 0;
}

static void unmap(const void *memory, size_t size)
{
	if (memory)
		munmap((void *)memory, size);
}

static void close_all(int *fds, int count)
{
	for (int i = 0; i < count; i++) {
		if (fds[i] >= 0)
			close(fds[i]);
		fds[i] = -1;
	}
}

void host_maps_close(struct host *host)
{
	unmap(host->settings, sizeof(*host->settings));
	unmap(host->endpoints, ENDPOINTS_SIZE);
	unmap(host->networks, NETWORKS_SIZE);
	unmap(host->usage, USAGE_SIZE);
	unmap(host->pressure, sizeof(*host->pressure));
	host->settings = NULL;
	host->endpoints = NULL;
	host->networks = NULL;
	host->usage = NULL;
	host->pressure = NULL;
	close_all(host->maps, HOST_MAPS);
	close_all(host->programs, HOST_PROGRAMS);
}
