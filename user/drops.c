/* SPDX-License-Identifier: GPL-2.0-only */
/* Reading the drop counters. */
#include "drops.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>

#include "cleanup.h"

static const struct {
	const char *name;
	const char *text;
} reasons[] = {
#define REASON(id, name, text) [DROP_##id] = { name, text },
	NSBPF_DROP_REASONS(REASON)
#undef REASON
};

const char *drop_name(enum drop_reason reason)
{
	return reasons[reason].name;
}

const char *drop_text(enum drop_reason reason)
{
	return reasons[reason].text;
}

int drops_read(const struct host *host, unsigned long long counts[DROP_REASONS])
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ __u64 *each = NULL;

	if (cpus < 0)
		return cpus;
	each = calloc(cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	for (__u32 reason = 0; reason < DROP_REASONS; reason++) {
		if (bpf_map_lookup_elem(host->maps[MAP_DROPS], &reason, each))
			return -errno;
		counts[reason] = 0;
		for (int cpu = 0; cpu < cpus; cpu++)
			counts[reason] += each[cpu];
	}
	return 0;
}
