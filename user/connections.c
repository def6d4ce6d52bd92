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

struct table {
	const struct conn *connections;
	const struct block *deadlines;
	__u32 count;
};

static void table_close(const struct table *table)
{
	if (table->connections)
		munmap((void *)table->connections, table->count * sizeof(struct conn));
	if (table->deadlines)
		munmap((void *)table->deadlines, table->count / NSBPF_BLOCK_WORDS * sizeof(struct block));
}

static int table_open(const struct host *host, struct table *table)
{
	__u32 count = host->settings->connections;
	int err;

	*table = (struct table){
		.connections = map_memory(host->maps[MAP_CONNECTIONS], count * sizeof(struct conn), false),
		.deadlines = map_memory(host->maps[MAP_DEADLINES], count / NSBPF_BLOCK_WORDS * sizeof(struct block),
					false),
		.count = count,
	};
	if (table->connections && table->deadlines)
		return 0;
	err = errno;
	table_close(table);
	return -err;
}

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

/* Runs a program on every connection that is meant; `which` NULL: all. */
static int walk(const struct host *host, enum host_program program, connection_fn *which, const void *arg)
{
	struct table table;
	int ret = table_open(host, &table);

	if (ret)
		return ret;
	for (__u32 i = 0; i < table.count && !ret; i++) {
		const struct conn *conn = &table.connections[i];

		if (__atomic_load_n(&table.deadlines[i / NSBPF_BLOCK_WORDS].words[i % NSBPF_BLOCK_WORDS],
				    __ATOMIC_ACQUIRE) &&
		    (!which || which(conn, arg)))
			ret = run_program(host->programs[program], conn);
	}
	table_close(&table);
	return ret;
}

int connections_end(const struct host *host, connection_fn *which, const void *arg)
{
	return walk(host, PROGRAM_END_CONNECTION, which, arg);
}

int connections_review(const struct host *host)
{
	return walk(host, PROGRAM_REVIEW_CONNECTION, NULL, NULL);
}
