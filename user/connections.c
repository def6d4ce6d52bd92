/* SPDX-License-Identifier: GPL-2.0-only */
/* Ending connections. The datapath does it, by a program that is run here: bindings and counters go with the entries.
 */
#include "connections.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "cleanup.h"
#include "map_walk.h"

struct ending {
	int program;
	connection_fn *which;
	const void *arg;
	int ended;
};

static int end_one(const void *key, const void *value, void *arg)
{
	unsigned char frame[ETH_HLEN + sizeof(struct tuple)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);
	const struct conn *conn = value;
	struct ending *ending = arg;

	if (!(conn->flags & CONN_ORIGINAL) || !ending->which(key, conn, ending->arg))
		return 0;
	memcpy(frame + ETH_HLEN, key, sizeof(struct tuple));
	if (bpf_prog_test_run_opts(ending->program, &opts))
		return -errno;
	/* It may have ended by itself. */
	if (opts.retval && opts.retval != ENOENT)
		return -(int)opts.retval;
	ending->ended += !opts.retval;
	return 0;
}

int connections_end(const struct host *host, connection_fn *which, const void *arg)
{
	_cleanup_close_ int program = -1;
	struct ending ending = { .which = which, .arg = arg };
	char path[PATH_MAX];
	int ret;

	host_path(host, "programs", "end_connection", path);
	program = bpf_obj_get(path);
	if (program < 0)
		return -errno;
	ending.program = program;
	ret = map_walk(host->maps[MAP_CONNECTIONS], sizeof(struct tuple), sizeof(struct conn), end_one, &ending);
	return ret ? ret : ending.ended;
}
