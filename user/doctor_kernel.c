/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel: its version, how it was configured, and whether it takes BPF programs. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <zlib.h>

#include "cleanup.h"
#include "doctor.h"

static void look_at_version(struct doctor *d, const struct utsname *name)
{
	unsigned int major = 0, minor = 0;

	sscanf(name->release, "%u.%u", &major, &minor);
	if (major < 6 || (major == 6 && minor < 1)) {
		doctor_say(d, LEVEL_PROBLEM, "kernel", "Linux %s", name->release);
		doctor_why(d, "nsbpf needs 6.1 or newer: kfuncs, timers and loops of its BPF programs");
	} else {
		doctor_say(d, LEVEL_OK, "kernel", "Linux %s", name->release);
	}
}

static const struct option {
	const char *name;
	enum level without;
	const char *why;
} options[] = {
	{ "CONFIG_BPF_SYSCALL", LEVEL_PROBLEM, "no BPF program can be loaded" },
	{ "CONFIG_NET_CLS_ACT", LEVEL_PROBLEM, "programs cannot be attached to devices" },
	{ "CONFIG_NET_CLS_BPF", LEVEL_PROBLEM, "to_endpoint is attached as a filter of this kind" },
	{ "CONFIG_NET_SCH_INGRESS", LEVEL_PROBLEM, "filters are attached to its clsact qdisc" },
	{ "CONFIG_VETH", LEVEL_PROBLEM, "endpoints are connected by veth pairs" },
	{ "CONFIG_INET_DIAG", LEVEL_PROBLEM, "`expose` asks it who holds a port" },
	{ "CONFIG_INET_UDP_DIAG", LEVEL_PROBLEM, "`expose` asks it who holds a port" },
	{ "CONFIG_INET_DIAG_DESTROY", LEVEL_NOTE, "`unexpose` cannot end connections of the host's own sockets" },
	{ "CONFIG_CGROUP_BPF", LEVEL_WARNING, "the host's own sockets do not reach exposed ports by its addresses" },
	{ "CONFIG_IPV6", LEVEL_NOTE, "endpoints have IPv4 only" },
};

#define OPTIONS (sizeof(options) / sizeof(options[0]))

/* The kernel's own, else what distributions install beside it. gzopen() reads plain files, too. */
static gzFile open_config(const struct utsname *name)
{
	char path[sizeof("/boot/config-") + sizeof(name->release)];
	gzFile config = gzopen("/proc/config.gz", "re");

	if (config)
		return config;
	snprintf(path, sizeof(path), "/boot/config-%s", name->release);
	return gzopen(path, "re");
}

static void look_at_config(struct doctor *d, const struct utsname *name)
{
	bool set[OPTIONS] = { false }, all = true;
	gzFile config = open_config(name);
	char line[256];

	if (!config) {
		doctor_say(d, LEVEL_NOTE, "kernel config",
			   "not to be seen (neither /proc/config.gz nor /boot/config-%s)", name->release);
		return;
	}
	while (gzgets(config, line, sizeof(line))) {
		size_t length = strcspn(line, "=");

		for (size_t i = 0; i < OPTIONS; i++)
			if (line[length] == '=' && length == strlen(options[i].name) &&
			    !strncmp(line, options[i].name, length))
				set[i] = true;
	}
	gzclose(config);
	for (size_t i = 0; i < OPTIONS; i++) {
		if (set[i])
			continue;
		all = false;
		doctor_say(d, options[i].without, "kernel config", "%s is not set", options[i].name);
		doctor_why(d, "%s", options[i].why);
	}
	if (all)
		doctor_say(d, LEVEL_OK, "kernel config", "has all that nsbpf needs");
}

/* The smallest program that there is: return 0. */
static void look_at_loading(struct doctor *d)
{
	const struct bpf_insn insns[] = { { .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
					  { .code = BPF_JMP | BPF_EXIT } };
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);
	_cleanup_close_ int program = -1;

	if (geteuid())
		return;
	program = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "nsbpf_doctor", "GPL", insns, 2, NULL);
	if (program < 0) {
		doctor_say(d, LEVEL_PROBLEM, "bpf", "the kernel loads no program: %s", strerror(errno));
		if (errno == EPERM)
			doctor_why(d, "CAP_BPF and CAP_NET_ADMIN are needed, and a container may be kept from bpf(2)");
		return;
	}
	if (!bpf_obj_get_info_by_fd(program, &info, &size) && info.jited_prog_len) {
		doctor_say(d, LEVEL_OK, "bpf", "programs are loaded, and compiled by the JIT");
		return;
	}
	doctor_say(d, LEVEL_WARNING, "bpf", "programs are interpreted");
	doctor_why(d, "each packet takes several times as long without the JIT");
	doctor_fix(d, "sysctl -w net.core.bpf_jit_enable=1");
}

static void look_at_btf(struct doctor *d)
{
	if (!access("/sys/kernel/btf/vmlinux", R_OK))
		doctor_say(d, LEVEL_OK, "btf", "the kernel describes its types");
	else
		doctor_say(d, LEVEL_NOTE, "btf", "the kernel does not describe its types; nsbpf can do without");
}

void doctor_kernel(struct doctor *d)
{
	struct utsname name;

	if (uname(&name))
		return;
	look_at_version(d, &name);
	look_at_config(d, &name);
	look_at_loading(d);
	look_at_btf(d);
}
