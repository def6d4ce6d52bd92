/* SPDX-License-Identifier: GPL-2.0-only */
/* Loading, pinning and attaching the BPF programs. */
#include "datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/pkt_sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "netns.h"
#include "nsbpf.skel.h"

/* libbpf 1.1 and Debian 12's headers are older than TCX (Linux 6.6); the number is the kernel's user API. */
#define ATTACH_TCX_INGRESS 46

/* One filter of ours on each hook, so handle and priority can be fixed. The priority leaves room before and after. */
#define CLSACT_HANDLE 1
#define CLSACT_PRIORITY 0x4e53

/*
 * Attaching by TCX waits for an RCU grace period, some 10 ms, and so twice that where both sides of a veth are
 * attached: most of what `add` takes. So the egress side, which is on no connection's way, is always a clsact filter.
 */
static const struct hook_info {
	const char *program;
	enum bpf_attach_type tcx; /* 0: clsact whatever the kernel has */
	enum bpf_tc_attach_point clsact;
} hooks[] = {
	[HOOK_FROM_ENDPOINT] = { "from_endpoint", ATTACH_TCX_INGRESS, BPF_TC_INGRESS },
	[HOOK_TO_ENDPOINT] = { "to_endpoint", 0, BPF_TC_EGRESS },
	[HOOK_FROM_UPLINK] = { "from_uplink", ATTACH_TCX_INGRESS, BPF_TC_INGRESS },
};

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

/* NSBPF_DEBUG=1 shows what libbpf and the verifier have to say. */
static void set_libbpf_print(void)
{
	libbpf_set_print(getenv("NSBPF_DEBUG") ? print_all : print_nothing);
}

/* Linux before 6.6 does not know the attach type; one that does misses the device. */
static bool kernel_has_tcx(int program_fd)
{
	if (getenv("NSBPF_FORCE_CLSACT"))
		return false;
	return bpf_link_create(program_fd, INT_MAX, ATTACH_TCX_INGRESS, NULL) == -ENODEV;
}

/* What of bpf_fib_lookup() there is, asked by a program that tries. */
static __u32 kernel_fib_features(const struct nsbpf *skel)
{
	unsigned char frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.probe_fib), &opts))
		return 0;
	return opts.retval & (FEATURE_FIB_SRC | FEATURE_FIB_SKIP_NEIGH);
}

/* Its memory may be refused now and be there a moment later. */
static int make_latecomers(const struct nsbpf *skel, struct error *err)
{
	unsigned char frame[64] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	for (int try = 0; try < 100; try++) {
		if (bpf_prog_test_run_opts(bpf_program__fd(skel->progs.make_latecomers), &opts))
			return fail(err, EXIT_SYSTEM, "cannot run a BPF program: %s", strerror(errno));
		if (!opts.retval)
			return 0;
		usleep(10000);
	}
	return fail(err, EXIT_SYSTEM, "cannot make a BPF timer: %s", strerror(opts.retval));
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

/* The maps that hold configuration and state; libbpf's own (.rodata) is the programs' affair. */
static int pin_maps(const struct nsbpf *skel, const char *dir, struct error *err)
{
	struct bpf_map *map;

	bpf_object__for_each_map(map,
				 skel->obj) if (!bpf_map__is_internal(map) &&
						pin(bpf_map__fd(map), dir, "maps", bpf_map__name(map), err)) return -1;
	return 0;
}

static int pin_programs(const struct nsbpf *skel, const char *dir, struct error *err)
{
	for (size_t i = 0; i < COUNT(hooks); i++) {
		const char *name = hooks[i].program;
		const struct bpf_program *program = bpf_object__find_program_by_name(skel->obj, name);

		if (!program || pin(bpf_program__fd(program), dir, "programs", name, err))
			return -1;
	}
	return 0;
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
	for (size_t i = 0; i < COUNT(socket_hooks); i++) {
		const struct socket_hook *hook = &socket_hooks[i];
		const struct bpf_program *program = bpf_object__find_program_by_name(skel->obj, hook->name);
		_cleanup_close_ int link = -1;

		link = bpf_link_create(bpf_program__fd(program), cgroup, hook->type, NULL);
		if (link < 0)
			return fail(err, EXIT_SYSTEM, "cannot attach %s to %s: %s", hook->name, path, strerror(-link));
		if (pin(link, dir, "links", hook->name, err))
			return -1;
	}
	*attached = true;
	return 0;
}

static int write_settings(const struct nsbpf *skel, bool socket_hooks_attached, struct error *err)
{
	/* Idle seconds; RFC 5382 REQ-5, RFC 7857 section 2, RFC 4787 REQ-5, RFC 5508 REQ-2. */
	struct settings settings = {
		.abi = NSBPF_ABI,
		.timeouts = { [CONN_TCP_SYN] = 240,
			      [CONN_TCP_ESTABLISHED] = 7440,
			      [CONN_TCP_FIN] = 7440,
			      [CONN_TCP_CLOSING] = 240,
			      [CONN_TCP_RESET] = 240,
			      [CONN_UDP] = 300,
			      [CONN_ICMP] = 60 },
	};
	__u32 zero = 0;

	settings.features = kernel_fib_features(skel);
	if (kernel_has_tcx(bpf_program__fd(skel->progs.from_endpoint)))
		settings.features |= FEATURE_TCX;
	if (socket_hooks_attached)
		settings.features |= FEATURE_HOST_SOCKETS;
	if (bpf_map_update_elem(bpf_map__fd(skel->maps.settings), &zero, &settings, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot write the settings: %s", strerror(errno));
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

int datapath_load(const char *dir, unsigned long long netns_cookie, struct error *err)
{
	bool socket_hooks_attached;
	struct nsbpf *skel;
	int ret;

	set_libbpf_print();
	skel = nsbpf__open();
	if (!skel)
		return fail(err, EXIT_SYSTEM, "cannot open the BPF object: %s", strerror(errno));
	skel->rodata->host_netns_cookie = netns_cookie;
	ret = nsbpf__load(skel);
	if (ret)
		fail(err, EXIT_SYSTEM,
		     "the kernel does not take the BPF programs: %s (Linux 6.1 or newer is needed; "
		     "NSBPF_DEBUG=1 shows its reasons)",
		     strerror(-ret));
	else
		ret = make_dirs(dir, err) || attach_socket_hooks(skel, dir, &socket_hooks_attached, err) ||
		      write_settings(skel, socket_hooks_attached, err) || make_latecomers(skel, err) ||
		      pin_maps(skel, dir, err) || pin_programs(skel, dir, err);
	nsbpf__destroy(skel);
	return ret ? -1 : 0;
}

static bool uses_tcx(const struct settings *settings, enum hook hook)
{
	return settings->features & FEATURE_TCX && hooks[hook].tcx;
}

static void link_path(const struct host *host, unsigned int ifindex, enum hook hook, char path[PATH_MAX])
{
	char name[64];

	snprintf(name, sizeof(name), "%u-%s", ifindex, hooks[hook].program);
	host_path(host, "links", name, path);
}

/* Does the pinned link still hang on the device? It may have been detached, or be of a device of that number before. */
static bool link_is_live(const char *path, unsigned int ifindex)
{
	_cleanup_close_ int link = bpf_obj_get(path);
	struct bpf_link_info info = { 0 };
	__u32 size = sizeof(info);

	/* Debian 12's headers don't know tcx.ifindex; it is where xdp.ifindex is, and 0 for a link without its device.
	 */
	return link >= 0 && !bpf_obj_get_info_by_fd(link, &info, &size) && info.xdp.ifindex == ifindex;
}

static int attach_tcx(const struct host *host, int program, unsigned int ifindex, enum hook hook)
{
	_cleanup_close_ int link = -1;
	char path[PATH_MAX];

	link_path(host, ifindex, hook, path);
	if (access(path, F_OK) == 0) {
		if (link_is_live(path, ifindex))
			return 0;
		if (unlink(path))
			return -errno;
	}
	link = bpf_link_create(program, ifindex, hooks[hook].tcx, NULL);
	if (link < 0)
		return link;
	return bpf_obj_pin(link, path) ? -errno : 0;
}

static int attach_clsact(int program, unsigned int ifindex, enum hook hook)
{
	LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = ifindex, .attach_point = hooks[hook].clsact);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = program, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY,
		    .flags = BPF_TC_F_REPLACE);
	int ret = bpf_tc_hook_create(&where);

	if (ret && ret != -EEXIST)
		return ret;
	return bpf_tc_attach(&where, &opts);
}

int datapath_attach(const struct host *host, unsigned int ifindex, enum hook hook, struct error *err)
{
	_cleanup_close_ int program = -1;
	struct settings settings;
	char path[PATH_MAX];
	int ret;

	set_libbpf_print();
	host_path(host, "programs", hooks[hook].program, path);
	program = bpf_obj_get(path);
	if (program < 0)
		return fail(err, EXIT_SYSTEM, "cannot open %s: %s", path, strerror(errno));
	ret = host_settings(host, &settings);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot read the settings: %s", strerror(-ret));
	if (uses_tcx(&settings, hook))
		ret = attach_tcx(host, program, ifindex, hook);
	else
		ret = attach_clsact(program, ifindex, hook);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot attach %s to device %u: %s", hooks[hook].program, ifindex,
			    strerror(-ret));
	return 0;
}

/* A filter, device or qdisc that is gone already is as good as removed. */
static int absent_is_fine(int ret)
{
	return ret == -ENOENT || ret == -ENODEV || ret == -EINVAL ? 0 : ret;
}

static int detach_clsact(const struct host *host, unsigned int ifindex, enum hook hook, bool remove_qdisc)
{
	LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = ifindex, .attach_point = hooks[hook].clsact);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	int ret = absent_is_fine(bpf_tc_detach(&where, &opts));

	if (ret || !remove_qdisc)
		return ret;
	/* With a filter left in it the qdisc has become somebody else's. */
	ret = absent_is_fine(filter_any(host->nl, ifindex));
	if (ret)
		return ret < 0 ? ret : 0;
	where.attach_point = BPF_TC_INGRESS | BPF_TC_EGRESS;
	return absent_is_fine(bpf_tc_hook_destroy(&where));
}

int datapath_detach(const struct host *host, unsigned int ifindex, enum hook hook, bool remove_qdisc)
{
	struct settings settings;
	char path[PATH_MAX];
	int ret = host_settings(host, &settings);

	set_libbpf_print();
	if (ret)
		return ret;
	if (!uses_tcx(&settings, hook))
		return detach_clsact(host, ifindex, hook, remove_qdisc);
	link_path(host, ifindex, hook, path);
	return unlink(path) && errno != ENOENT ? -errno : 0;
}
