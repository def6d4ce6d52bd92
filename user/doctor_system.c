/* SPDX-License-Identifier: GPL-2.0-only */
/* What the system gives us: capabilities, mounts, /proc/sys; and what of nsbpf is there already. */
#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "doctor.h"
#include "ipv6.h"
#include "netns.h"

static const struct capability {
	unsigned int bit;
	const char *name;
	const char *why;
} capabilities[] = {
	{ CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "entering and mounting namespaces" },
	{ CAP_NET_ADMIN, "CAP_NET_ADMIN", "devices, routes and attaching programs" },
	{ CAP_BPF, "CAP_BPF", "loading programs" },
	{ CAP_PERFMON, "CAP_PERFMON", "loading programs that compare pointers" },
};

static int effective(unsigned long long *mask)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/thread-self/status", "re");
	char line[256];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "CapEff: %llx", mask) == 1)
			return 0;
	return -ENOENT;
}

static void look_at_capabilities(struct doctor *d)
{
	unsigned long long mask = 0;
	bool all = true;

	if (geteuid()) {
		doctor_say(d, LEVEL_PROBLEM, "capabilities", "not root");
		doctor_why(d, "nsbpf loads BPF programs, and makes namespaces and devices; this command sees more as "
			      "root, too");
		doctor_fix(d, "sudo nsbpf doctor");
		return;
	}
	if (effective(&mask))
		return;
	for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++) {
		/* CAP_SYS_ADMIN is as good as those that were cut out of it. */
		if (mask >> capabilities[i].bit & 1 ||
		    (capabilities[i].bit >= CAP_PERFMON && mask >> CAP_SYS_ADMIN & 1))
			continue;
		all = false;
		doctor_say(d, LEVEL_PROBLEM, "capabilities", "%s is missing", capabilities[i].name);
		doctor_why(d, "it is needed for %s", capabilities[i].why);
	}
	if (all)
		doctor_say(d, LEVEL_OK, "capabilities", "all that are needed");
}

static void look_at_mounts(struct doctor *d)
{
	char path[PATH_MAX];

	if (!mount_find("bpf", "/sys/fs/bpf", path))
		doctor_say(d, LEVEL_OK, "bpffs", "mounted on %s", path);
	else
		doctor_say(d, LEVEL_NOTE, "bpffs", "not mounted; the first command mounts it on /sys/fs/bpf");
	if (!mount_find("cgroup2", "/sys/fs/cgroup", path)) {
		doctor_say(d, LEVEL_OK, "cgroup2", "mounted on %s", path);
		return;
	}
	doctor_say(d, LEVEL_WARNING, "cgroup2", "not mounted");
	doctor_why(d, "the host's own sockets do not reach exposed ports by the host's addresses and 127.0.0.1");
	doctor_fix(d, "mount -t cgroup2 none /sys/fs/cgroup");
}

static void look_at_sysctls(struct doctor *d)
{
	const char *missing = ipv6_missing();

	if (access("/proc/sys/net/ipv4/conf/lo/forwarding", W_OK) && errno == EROFS) {
		doctor_say(d, LEVEL_WARNING, "sysctl", "/proc/sys is read-only");
		doctor_why(d, "bpf_fib_lookup() needs forwarding on lo: packets go by the default route's uplink");
		doctor_fix(d, "mount -o remount,rw /proc/sys");
	}
	if (!missing)
		return;
	doctor_say(d, LEVEL_NOTE, "ipv6", "endpoints have IPv4 only: %s", missing);
}

/* As they were found when the programs were loaded. */
static void look_at_features(struct doctor *d)
{
	static const struct {
		__u32 feature;
		enum level without;
		const char *text, *why, *fix;
	} features[] = {
		{ FEATURE_TCX, LEVEL_NOTE, "no TCX links (Linux 6.6)",
		  "programs are attached as clsact filters, which anybody can remove by `tc`", "" },
		{ FEATURE_FIB_SRC, LEVEL_NOTE, "the FIB names no source addresses (Linux 6.7)",
		  "masquerade takes the uplink's primary address as of the last command", "" },
		{ FEATURE_FIB_SKIP_NEIGH, LEVEL_NOTE, "the FIB wants to know neighbours (Linux 6.3)",
		  "the MTU of a route is known once its next hop has answered", "" },
		{ FEATURE_HOST_SOCKETS, LEVEL_WARNING, "the host's sockets are not hooked",
		  "they do not reach exposed ports by the host's addresses: there was no cgroup2 when nsbpf began",
		  "nsbpf down, and begin anew once cgroup2 is mounted" },
	};

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (d->host.settings->features & features[i].feature)
			continue;
		doctor_say(d, features[i].without, "features", "%s", features[i].text);
		doctor_why(d, "%s", features[i].why);
		doctor_fix(d, "%s", features[i].fix);
	}
}

static void look_at_state(struct doctor *d)
{
	if (d->refused.text[0] && !geteuid()) {
		doctor_say(d, LEVEL_PROBLEM, "nsbpf " NSBPF_VERSION, "%s", d->refused.text);
		if (d->host.damaged)
			doctor_fix(d, "nsbpf check --repair");
	} else if (d->host.running) {
		doctor_say(d, LEVEL_OK, "nsbpf " NSBPF_VERSION, "runs here, attached by %s, layout %u",
			   d->host.settings->features & FEATURE_TCX ? "tcx" : "clsact", d->host.settings->abi);
	} else {
		doctor_say(d, LEVEL_OK, "nsbpf " NSBPF_VERSION, "nothing runs here yet");
	}
}

void doctor_system(struct doctor *d)
{
	look_at_capabilities(d);
	look_at_mounts(d);
	look_at_sysctls(d);
	look_at_state(d);
	if (d->host.running)
		look_at_features(d);
}
