/* SPDX-License-Identifier: GPL-2.0-only */
/* What commands do to connections. The datapath does it, by programs that are run here: NAT ports and counters go with
 * a connection. */
#include "connections.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/mman.h>

#include "host_maps.h"

/* It may have ended by itself: so be it. */
static int run_program(int program, const struct conn *conn)
{
	unsigned char frame[ETH_HLEN + sizeof(struct tuple)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	memcpy(frame + ETH_HLEN, &conn->tuples[DIR_ORIGINAL], sizeof(struct tuple));
	if (bpf_prog_test_run_opts(program, &opts))
		return -errno;
	return opts.retval == ENOENT ? 0 : -(int)opts.retval;
}

static bool is_live(const struct block *deadlines, __u32 i)
{
	return __atomic_load_n(&deadlines[i / NSBPF_BLOCK_WORDS].words[i % NSBPF_BLOCK_WORDS], __ATOMIC_ACQUIRE);
}

/* Runs a program on every connection that is meant; `which` NULL: all. */
static int run_on(const struct host *host, enum host_program program, connection_fn *which, const void *arg)
{
	const size_t room = host->settings->connections;
	const size_t deadlines_size = room / NSBPF_BLOCK_WORDS * sizeof(struct block);
	const size_t connections_size = room * sizeof(struct conn);
	const struct conn *connections = NULL;
	const struct block *deadlines = map_memory(host->maps[MAP_DEADLINES], deadlines_size, false);
	int ret = deadlines ? 0 : -errno;

	for (size_t i = 0; i < room && !ret; i++) {
		if (!is_live(deadlines, i))
			continue;
		/* Not before there is one: mapping a large table takes milliseconds. */
		if (!connections)
			connections = map_memory(host->maps[MAP_CONNECTIONS], connections_size, false);
		if (!connections)
			ret = -errno;
		else if (!which || which(&connections[i], arg))
			ret = run_program(host->programs[program], &connections[i]);
	}
	if (connections)
		munmap((void *)connections, connections_size);
	if (deadlines)
		munmap((void *)deadlines, deadlines_size);
	return ret;
}

int connections_end(const struct host *host, connection_fn *which, const void *arg)
{
	return run_on(host, PROGRAM_END_CONNECTION, which, arg);
}

int connections_review(const struct host *host)
{
	return run_on(host, PROGRAM_REVIEW_CONNECTION, NULL, NULL);
}
