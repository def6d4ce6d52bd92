/* SPDX-License-Identifier: GPL-2.0-only */
/* What commands do to connections. The datapath does it, by programs that are run here: bindings and counters go with a
 * connection's entries, and its timer is nobody else's. */
#include "connections.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "map_walk.h"

struct walk {
	int program;
	connection_fn *which; /* NULL: all */
	const void *arg;
};

static int run_program(const void *key, const void *value, void *arg)
{
	unsigned char frame[ETH_HLEN + sizeof(struct tuple)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);
	const struct conn *conn = value;
	const struct walk *walk = arg;

	if (!(conn->flags & CONN_ORIGINAL) || (walk->which && !walk->which(key, conn, walk->arg)))
		return 0;
	memcpy(frame + ETH_HLEN, key, sizeof(struct tuple));
	if (bpf_prog_test_run_opts(walk->program, &opts))
		return -errno;
	/* It may have ended by itself. */
	return opts.retval == ENOENT ? 0 : -(int)opts.retval;
}

static int walk_connections(const struct host *host, struct walk *walk)
{
	return map_walk(host->maps[MAP_CONNECTIONS], sizeof(struct tuple), sizeof(struct conn), run_program, walk);
}

int connections_end(const struct host *host, connection_fn *which, const void *arg)
{
	struct walk walk = { host->programs[PROGRAM_END_CONNECTION], which, arg };

	return walk_connections(host, &walk);
}

int connections_review(const struct host *host)
{
	struct walk walk = { .program = host->programs[PROGRAM_REVIEW_CONNECTION] };

	return walk_connections(host, &walk);
}
