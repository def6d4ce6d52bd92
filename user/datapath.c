/* SPDX-License-Identifier: GPL-2.0-only */
/* A host's datapath: loaded, told what the kernel has, and pinned. */
#include "datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "host_maps.h"
#include "netns.h"
#include "nsbpf.skel.h"
#include "settings.h"
#include "terminal.h"

static const struct socket_hook {
	const char *name;
	enum bpf_attach_type type;
} socket_hooks[] = {
	{ "host_sock_release", BPF_CGROUP_INET_SOCK_RELEASE }, { "host_connect4", BPF_CGROUP_INET4_CONNECT },
	{ "host_connect6", BPF_CGROUP_INET6_CONNECT },         { "host_sendmsg4", BPF_CGROUP_UDP4_SENDMSG },
	{ "host_sendmsg6", BPF_CGROUP_UDP6_SENDMSG },          { "host_recvmsg4", BPF_CGROUP_UDP4_RECVMSG },
	{ "host_recvmsg6", BPF_CGROUP_UDP6_RECVMSG },          { "host_getpeername4", BPF_CGROUP_INET4_GETPEERNAME },
	{ "host_getpeername6", BPF_CGROUP_INET6_GETPEERNAME },
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *datapath_socket_hook(size_t i)
{
	return i < COUNT(socket_hooks) ? socket_hooks[i].name : NULL;
}

/* What of the helpers there is, asked by a program that tries. */
static __u32 kernel_helper_features(const struct nsbpf *skel)
{
	unsigned char frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.probe_helpers), &opts))
		return 0;
	return opts.retval & (FEATURE_FIB_SRC | FEATURE_FIB_SKIP_NEIGH | FEATURE_CSUM_IPV6);
}

/* Its memory may be refused now and be there a moment later. */
int datapath_make_sweep(const struct nsbpf *skel, struct error *err)
{
	unsigned char frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	for (int try = 0; try < 100; try++) {
		if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.make_sweep), &opts))
			return fail(err, EXIT_SYSTEM, "cannot run a BPF program: %s", strerror(errno));
		if (!opts.retval)
			return 0;
		usleep(10000);
	}
	return fail(err, EXIT_SYSTEM, "cannot make a BPF timer: %s", strerror(opts.retval));
}

/* So many at a time: a program must not hold a CPU for long. */
#define INDEX_STEPS 8192
#define NAT_PORT_WORDS (NSBPF_MAX_NAT_ADDRESSES * NAT_PROTOS << 16)

/* Returns how many were refused, or -1. */
static int index_part(int program, __u32 first, __u32 count, struct error *err)
{
	unsigned char frame[ETH_HLEN + sizeof(__u32[2])] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	memcpy(frame + ETH_HLEN, (const __u32[2]){ first, count }, sizeof(__u32[2]));
	if (bpf_prog_test_run_opts(program, &opts))
		return fail(err, EXIT_SYSTEM, "cannot run a BPF program: %s", strerror(errno));
	return opts.retval;
}

/* About a second for a million connections. Returns how many were refused, or -1. */
static int index_all(const struct nsbpf *skel, __u32 connections, struct progress *progress, struct error *err)
{
	const int program = bpf_program__fd(skel->progs.index_connections);
	int refused = 0;

	for (__u32 done = 0; done < connections; done += INDEX_STEPS) {
		int more = index_part(program, 1 + done, INDEX_STEPS, err);

		if (more < 0)
			return -1;
		refused += more;
		progress_at(progress, done);
	}
	for (__u32 port = 0; port < NAT_PORT_WORDS; port += INDEX_STEPS)
		if (index_part(bpf_program__fd(skel->progs.index_bindings), port, INDEX_STEPS, err) < 0)
			return -1;
	return refused;
}

int datapath_index(const struct nsbpf *skel, __u32 connections, struct error *err)
{
	struct progress progress;
	int ret;

	progress_begin(&progress, "indexing connections", connections);
	ret = index_all(skel, connections, &progress, err);
	progress_end(&progress);
	return ret;
}

static int pin(int fd, const char *dir, const char *sub, const char *name, struct error *err)
{
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/%s/%s", dir, sub, name) >= sizeof(path))
		return fail(err, EXIT_SYSTEM, "cannot pin %s: path too long", name);
	if (bpf_obj_pin(fd, path))
		return fail(err, EXIT_SYSTEM, "cannot pin %s: %s", path, strerror(errno));
	return 0;
}

/* The maps that hold configuration and state. */
static int pin_maps(const struct nsbpf *skel, const char *dir, struct error *err)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map, skel->obj)
	{
		const char *name = datapath_pin_name(map);

		if (name && pin(bpf_map__fd(map), dir, "maps", name, err))
			return -1;
	}
	return 0;
}

/* Those that are attached to devices to come, or that commands run. */
static int pin_programs(const struct nsbpf *skel, const char *dir, struct error *err)
{
	const struct bpf_program *const programs[] = { skel->progs.from_endpoint, skel->progs.to_endpoint,
						       skel->progs.from_uplink, skel->progs.end_connection,
						       skel->progs.review_connection };

	for (size_t i = 0; i < COUNT(programs); i++)
		if (pin(bpf_program__fd(programs[i]), dir, "programs", bpf_program__name(programs[i]), err))
			return -1;
	return 0;
}

bool datapath_has_socket_hook(const char *dir, const char *name)
{
	struct bpf_link_info info = { 0 };
	__u32 size = sizeof(info);
	_cleanup_close_ int link = -1;
	char path[PATH_MAX];

	if ((size_t)snprintf(path, sizeof(path), "%s/links/%s", dir, name) >= sizeof(path))
		return false;
	link = bpf_obj_get(path);
	return link >= 0 && !bpf_obj_get_info_by_fd(link, &info, &size) && info.cgroup.cgroup_id;
}

/* A link that hangs on nothing may be there. */
static int attach_socket_hook(const struct nsbpf *skel, int cgroup, const struct socket_hook *hook, const char *dir,
			      struct error *err)
{
	const struct bpf_program *program = bpf_object__find_program_by_name(skel->obj, hook->name);
	_cleanup_close_ int link = -1;
	char path[PATH_MAX];

	if (datapath_has_socket_hook(dir, hook->name))
		return 0;
	if ((size_t)snprintf(path, sizeof(path), "%s/links/%s", dir, hook->name) < sizeof(path))
		unlink(path);
	link = bpf_link_create(bpf_program__fd(program), cgroup, hook->type, NULL);
	if (link < 0)
		return fail(err, EXIT_SYSTEM, "cannot attach %s to the root of cgroup2: %s", hook->name,
			    strerror(-link));
	return pin(link, dir, "links", hook->name, err);
}

/*
 * The hooks hang on the root of the cgroup tree and look at the network namespace themselves. Without cgroup2 all else
 * works: only this host's own sockets don't reach exposed ports by the host's addresses.
 */
static int attach_socket_hooks(const struct nsbpf *skel, const char *dir, bool *attached, struct error *err)
{
	_cleanup_close_ int cgroup = -1;
	char path[PATH_MAX];

	*attached = false;
	if (mount_find("cgroup2", "/sys/fs/cgroup", path))
		return 0;
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return fail(err, EXIT_SYSTEM, "cannot open %s: %s", path, strerror(errno));
	for (size_t i = 0; i < COUNT(socket_hooks); i++)
		if (attach_socket_hook(skel, cgroup, &socket_hooks[i], dir, err))
			return -1;
	*attached = true;
	return 0;
}

static bool all_maps(const char *map)
{
	(void)map;
	return true;
}

/* They ask neither the index of connections nor that of bindings, which another key leads through. */
int datapath_mend_socket_hooks(const struct host *host, struct error *err)
{
	const struct datapath_options options = { .netns_cookie = host->cookie,
						  .connections = host->settings->connections,
						  .share_from = host->dir,
						  .shares = all_maps };
	struct nsbpf *skel = datapath_open(&options, err);
	bool attached;
	int ret;

	if (!skel)
		return -1;
	ret = attach_socket_hooks(skel, host->dir, &attached, err);
	datapath_close(skel);
	return ret;
}

static int write_settings(const struct nsbpf *skel, __u32 connections, bool socket_hooks_attached, struct error *err)
{
	struct settings settings;
	__u32 zero = 0;

	settings_init(&settings);
	settings.connections = connections;
	settings.features = kernel_helper_features(skel);
	if (datapath_has_tcx(bpf_program__fd(skel->progs.from_endpoint)))
		settings.features |= FEATURE_TCX;
	if (socket_hooks_attached)
		settings.features |= FEATURE_HOST_SOCKETS;
	if (bpf_map_update_elem(bpf_map__fd(skel->maps.settings), &zero, &settings, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot write the settings: %s", strerror(errno));
	return 0;
}

static int fill_places(const struct nsbpf *skel, __u32 connections, struct error *err)
{
	struct pressure pressure = { .given = connections };
	size_t size = connections * sizeof(__u32);
	__u32 zero = 0, *places = map_memory(bpf_map__fd(skel->maps.places), size, true);

	if (!places)
		return fail(err, EXIT_SYSTEM, "cannot map the places of connections: %s", strerror(errno));
	for (__u32 i = 0; i < connections; i++)
		places[i] = i + 1;
	munmap(places, size);
	if (bpf_map_update_elem(bpf_map__fd(skel->maps.pressure), &zero, &pressure, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot write the number of places: %s", strerror(errno));
	return 0;
}

static int make_dirs(const char *dir, struct error *err)
{
	static const char *const subs[] = { "maps", "programs", "links" };
	char path[PATH_MAX];

	for (size_t i = 0; i < COUNT(subs); i++)
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, subs[i]) >= sizeof(path))
			return fail(err, EXIT_SYSTEM, "cannot make %s/%s: path too long", dir, subs[i]);
		else if (mkdir(path, 0700))
			return fail(err, EXIT_SYSTEM, "cannot make %s: %s", path, strerror(errno));
	return 0;
}

int datapath_pin(const struct nsbpf *skel, const char *dir, struct error *err)
{
	return make_dirs(dir, err) || pin_maps(skel, dir, err) || pin_programs(skel, dir, err) ? -1 : 0;
}

int datapath_load(const char *dir, unsigned long long netns_cookie, __u32 connections, struct error *err)
{
	const struct datapath_options options = { .netns_cookie = netns_cookie, .connections = connections };
	struct nsbpf *skel = datapath_open(&options, err);
	bool socket_hooks_attached;
	int ret;

	if (!skel)
		return -1;
	ret = datapath_pin(skel, dir, err) || attach_socket_hooks(skel, dir, &socket_hooks_attached, err) ||
	      write_settings(skel, connections, socket_hooks_attached, err) || fill_places(skel, connections, err) ||
	      datapath_make_sweep(skel, err);
	datapath_close(skel);
	return ret ? -1 : 0;
}
