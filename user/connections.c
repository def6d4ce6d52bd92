/* SPDX-License-Identifier: GPL-2.0-only */
/* Walking over the connection table. */
#include "connections.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"

#define BATCH 1024

struct batch {
	struct tuple keys[BATCH];
	struct conn values[BATCH];
};

int connection_each(const struct host *host, connection_fn *each, void *arg)
{
	_cleanup_free_ struct batch *batch = malloc(sizeof(*batch));
	__u32 in = 0, out = 0, count;
	bool first = true, last = false;
	int ret = 0;

	if (!batch)
		return -ENOMEM;
	while (!ret && !last) {
		count = BATCH;
		/* -ENOENT comes with the last entries; -ENOSPC would mean a hash bucket of more than BATCH. */
		if (bpf_map_lookup_batch(host->maps[MAP_CONNECTIONS], first ? NULL : &in, &out, batch->keys,
					 batch->values, &count, NULL)) {
			if (errno != ENOENT)
				return -errno;
			last = true;
		}
		first = false;
		in = out;
		for (__u32 i = 0; i < count && !ret; i++)
			if (batch->values[i].flags & CONN_ORIGINAL)
				ret = each(&batch->keys[i], &batch->values[i], arg);
	}
	return ret;
}

static int count_one(const struct tuple *tuple, const struct conn *conn, void *arg)
{
	(void)tuple, (void)conn;
	++*(int *)arg;
	return 0;
}

int connections_count(const struct host *host)
{
	int count = 0, ret = connection_each(host, count_one, &count);

	return ret ? ret : count;
}

struct ending {
	const struct host *host;
	bool (*which)(const struct tuple *, const struct conn *, const void *);
	const void *arg;
	int ended;
};

static int end_one(const struct tuple *tuple, const struct conn *conn, void *arg)
{
	struct tuple reply = { .saddr = conn->xlat.daddr,
			       .daddr = conn->xlat.saddr,
			       .sport = conn->xlat.dport,
			       .dport = conn->xlat.sport,
			       .proto = conn->xlat.proto };
	struct ending *ending = arg;
	int map = ending->host->maps[MAP_CONNECTIONS];

	if (!ending->which(tuple, conn, ending->arg))
		return 0;
	/* The reply first, as conn_expire() does: whoever opens the connection anew finds neither, or both. */
	if (bpf_map_delete_elem(map, &reply) && errno != ENOENT)
		return -errno;
	if (bpf_map_delete_elem(map, tuple) && errno != ENOENT)
		return -errno;
	ending->ended++;
	return 0;
}

int connections_end(const struct host *host, bool (*which)(const struct tuple *, const struct conn *, const void *arg),
		    const void *arg)
{
	struct ending ending = { host, which, arg, 0 };
	int ret = connection_each(host, end_one, &ending);

	return ret ? ret : ending.ended;
}
