/* SPDX-License-Identifier: GPL-2.0-only */
/* Attaching the pinned programs to devices, by TCX or clsact. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "datapath.h"

/* libbpf 1.1 and Debian 12's headers are older than TCX (Linux 6.6); the numbers are the kernel's user API. */
#define ATTACH_TCX_INGRESS 46
#define ATTACH_TCX_EGRESS 47

#define OTHER_PROGRAMS 64 /* on one hook, that can be listed */
#define OTHER_PROGRAM_TEXT 64

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

/* Linux before 6.6 does not know the attach type; one that does misses the device. */
bool datapath_has_tcx(int program)
{
	if (getenv("NSBPF_FORCE_CLSACT"))
		return false;
	return bpf_link_create(program, INT_MAX, ATTACH_TCX_INGRESS, NULL) == -ENODEV;
}

static bool uses_tcx(const struct host *host, enum hook hook)
{
	return host->settings->features & FEATURE_TCX && hooks[hook].tcx;
}

static void link_path(const struct host *host, unsigned int ifindex, enum hook hook, char path[PATH_MAX])
{
	char name[64];

	snprintf(name, sizeof(name), "%u-%s", ifindex, hooks[hook].program);
	host_path(host, "links", name, path);
}

static int open_program(const struct host *host, enum hook hook, struct error *err)
{
	char path[PATH_MAX];
	int program;

	host_path(host, "programs", hooks[hook].program, path);
	program = bpf_obj_get(path);
	return program >= 0 ? program : fail(err, EXIT_SYSTEM, "cannot open %s: %s", path, strerror(errno));
}

/* 0 if there is none. */
static __u32 program_id(int program)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);

	return program >= 0 && !bpf_obj_get_info_by_fd(program, &info, &size) ? info.id : 0;
}

/* The program of a link that hangs on the device still: it may have been detached, or be of a device of that number
 * before. Else 0. */
static __u32 link_program(int link, unsigned int ifindex)
{
	struct bpf_link_info info = { 0 };
	__u32 size = sizeof(info);

	/* Debian 12's headers don't know tcx.ifindex; it is where xdp.ifindex is, and 0 for a link without its device.
	 */
	return link >= 0 && !bpf_obj_get_info_by_fd(link, &info, &size) && info.xdp.ifindex == ifindex ? info.prog_id
												       : 0;
}

static int attach_tcx(const struct host *host, int program, unsigned int ifindex, enum hook hook)
{
	_cleanup_close_ int pinned = -1;
	_cleanup_close_ int link = -1;
	char path[PATH_MAX];
	__u32 attached;

	link_path(host, ifindex, hook, path);
	pinned = bpf_obj_get(path);
	attached = link_program(pinned, ifindex);
	/* In place no packet misses it, and nobody waits for RCU. */
	if (attached)
		return attached == program_id(program) ? 0 : bpf_link_update(pinned, program, NULL);
	if (unlink(path) && errno != ENOENT)
		return -errno;
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
	_cleanup_close_ int program = open_program(host, hook, err);
	int ret;

	if (program < 0)
		return -1;
	if (uses_tcx(host, hook))
		ret = attach_tcx(host, program, ifindex, hook);
	else
		ret = attach_clsact(program, ifindex, hook);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot attach %s to device %u: %s", hooks[hook].program, ifindex,
			    strerror(-ret));
	return 0;
}

bool datapath_is_attached(const struct host *host, unsigned int ifindex, enum hook hook)
{
	LIBBPF_OPTS(bpf_tc_hook, where, .ifindex = ifindex, .attach_point = hooks[hook].clsact);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = CLSACT_HANDLE, .priority = CLSACT_PRIORITY);
	_cleanup_close_ int program = open_program(host, hook, &(struct error){ 0 });
	_cleanup_close_ int link = -1;
	__u32 id = program_id(program);
	char path[PATH_MAX];

	if (!id)
		return false;
	if (!uses_tcx(host, hook))
		return !bpf_tc_query(&where, &opts) && opts.prog_id == id;
	link_path(host, ifindex, hook, path);
	link = bpf_obj_get(path);
	return link_program(link, ifindex) == id;
}

struct looking {
	other_program_fn *each;
	void *arg;
};

static void name_program(__u32 id, char *text, size_t size)
{
	_cleanup_close_ int program = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = { 0 };
	__u32 info_size = sizeof(info);

	if (program < 0 || bpf_obj_get_info_by_fd(program, &info, &info_size))
		info.name[0] = '\0';
	snprintf(text, size, "BPF program %u%s%s", id, info.name[0] ? " " : "", info.name);
}

/* By TCX, in their order up to ours; all of them if ours is not among them, as every clsact filter comes later. */
static int tcx_before(unsigned int ifindex, enum bpf_attach_type type, __u32 ours, const struct looking *l)
{
	__u32 ids[OTHER_PROGRAMS] = { 0 };
	/* Where newer headers have target_ifindex, these have target_fd. */
	LIBBPF_OPTS(bpf_prog_query_opts, opts, .prog_ids = ids, .prog_cnt = OTHER_PROGRAMS);
	char text[OTHER_PROGRAM_TEXT];
	int ret = 0;

	if (bpf_prog_query_opts(ifindex, type, &opts))
		return 0; /* no TCX in this kernel */
	for (__u32 i = 0; i < opts.prog_cnt && i < OTHER_PROGRAMS && ids[i] != ours && !ret; i++) {
		name_program(ids[i], text, sizeof(text));
		ret = l->each(text, l->arg);
	}
	return ret;
}

static int clsact_before(const struct filter *filter, void *arg)
{
	const struct looking *l = arg;
	char text[OTHER_PROGRAM_TEXT];

	if (filter->priority >= CLSACT_PRIORITY)
		return 0;
	snprintf(text, sizeof(text), "tc filter %s, priority %u", filter->kind, filter->priority);
	return l->each(text, l->arg);
}

int datapath_others_before(const struct host *host, unsigned int ifindex, enum hook hook, other_program_fn *each,
			   void *arg)
{
	_cleanup_close_ int program = open_program(host, hook, &(struct error){ 0 });
	bool egress = hooks[hook].clsact == BPF_TC_EGRESS, tcx = uses_tcx(host, hook);
	struct looking l = { each, arg };
	int ret;

	ret = tcx_before(ifindex, egress ? ATTACH_TCX_EGRESS : ATTACH_TCX_INGRESS, program_id(program), &l);
	return ret || tcx ? ret : filter_each(host->nl, ifindex, egress, clsact_before, &l);
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
	char path[PATH_MAX];

	if (!uses_tcx(host, hook))
		return detach_clsact(host, ifindex, hook, remove_qdisc);
	link_path(host, ifindex, hook, path);
	return unlink(path) && errno != ENOENT ? -errno : 0;
}
