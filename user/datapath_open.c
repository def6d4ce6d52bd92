/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF object: opened, sized for so many connections, given maps of a host that runs, and loaded. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cleanup.h"
#include "datapath.h"
#include "nsbpf.skel.h"

static int print_nothing(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level, (void)format, (void)args;
	return 0;
}

static int print_all(enum libbpf_print_level level, const char *format, va_list args)
{
	(void)level;
	return vfprintf(stderr, format, args);
}

void datapath_init(void)
{
	libbpf_set_print(getenv("NSBPF_DEBUG") ? print_all : print_nothing);
}

/* A map of its own is as long as so many connections need it. In the object those are as long as for
 * NSBPF_CONNECTIONS. 0 or -errno. */
static int set_sizes(const struct nsbpf *skel, __u32 connections)
{
	struct bpf_map *const maps[] = { skel->maps.connections, skel->maps.traffic, skel->maps.conn_index,
					 skel->maps.deadlines,   skel->maps.places,  skel->maps.openings,
					 skel->maps.bindings };
	int err = 0;

	skel->rodata->max_connections = connections;
	for (size_t i = 0; i < sizeof(maps) / sizeof(maps[0]) && !err; i++) {
		__u64 entries = (__u64)bpf_map__max_entries(maps[i]) * connections / NSBPF_CONNECTIONS;

		err = bpf_map__set_max_entries(maps[i], entries);
	}
	return err;
}

/* libbpf's own (.rodata) are the programs' affair, but for one that user space writes while they run. */
const char *datapath_pin_name(const struct bpf_map *map)
{
	const char *name = bpf_map__name(map);

	if (!bpf_map__is_internal(map))
		return name;
	return strcmp(name, ".data.packets_heard") ? NULL : "packets_heard";
}

static int share_map(struct bpf_map *map, const char *dir)
{
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/maps/%s", dir, datapath_pin_name(map)) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : bpf_map__reuse_fd(map, fd);
}

static int share_maps(const struct nsbpf *skel, const struct datapath_options *options, struct error *err)
{
	struct bpf_map *map;

	if (!options->share_from)
		return 0;
	bpf_object__for_each_map(map, skel->obj)
	{
		const char *name = datapath_pin_name(map);
		int ret = name && options->shares(name) ? share_map(map, options->share_from) : 0;

		if (ret)
			return fail(err, EXIT_SYSTEM, "cannot use the map %s of %s: %s", name, options->share_from,
				    strerror(-ret));
	}
	return 0;
}

/* The verifier's work on the large ones is most of what loading takes. */
static void choose_programs(const struct nsbpf *skel, const char *const *wanted)
{
	struct bpf_program *program;

	bpf_object__for_each_program(program, skel->obj)
	{
		const char *const *name = wanted;

		while (*name && strcmp(*name, bpf_program__name(program)))
			name++;
		bpf_program__set_autoload(program, *name);
	}
}

static int load(struct nsbpf *skel, const struct datapath_options *options, struct error *err)
{
	int ret;

	skel->rodata->host_netns_cookie = options->netns_cookie;
	/* Only a table that takes over from another one needs them. */
	bpf_program__set_autoload(skel->progs.index_connections, options->share_from);
	bpf_program__set_autoload(skel->progs.index_bindings, options->share_from);
	bpf_program__set_autoload(skel->progs.tell_route, false);
	if (options->programs)
		choose_programs(skel, options->programs);
	ret = getrandom((void *)skel->rodata->hash_key, sizeof(skel->rodata->hash_key), 0) < 0 ? -errno : 0;
	if (!ret)
		ret = set_sizes(skel, options->connections);
	if (!ret && share_maps(skel, options, err))
		return -1;
	if (!ret)
		ret = nsbpf__load(skel);
	if (ret)
		return fail(err, EXIT_SYSTEM,
			    "the kernel does not take the BPF programs: %s (Linux 6.1 or newer is needed; "
			    "NSBPF_DEBUG=1 shows its reasons)",
			    strerror(-ret));
	return 0;
}

struct nsbpf *datapath_open(const struct datapath_options *options, struct error *err)
{
	struct nsbpf *skel = nsbpf__open();

	if (!skel) {
		fail(err, EXIT_SYSTEM, "cannot open the BPF object: %s", strerror(errno));
		return NULL;
	}
	if (!load(skel, options, err))
		return skel;
	nsbpf__destroy(skel);
	return NULL;
}

void datapath_close(struct nsbpf *skel)
{
	nsbpf__destroy(skel);
}

int datapath_map(const struct nsbpf *skel, const char *name)
{
	return bpf_object__find_map_fd_by_name(skel->obj, name);
}

int datapath_program(const struct nsbpf *skel, const char *name)
{
	const struct bpf_program *program = bpf_object__find_program_by_name(skel->obj, name);

	return program ? bpf_program__fd(program) : -ENOENT;
}
