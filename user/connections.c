/* SPDX-License-Identifier: GPL-2.0-only */
/* What commands do with connections. The datapath ends them, by programs that are run here: NAT ports and counters go
 * with a connection. */
#include "connections.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "host_maps.h"
#include "terminal.h"

/* 1 if done, 0 if it had ended by itself, or -errno. */
static int run_program(int program, const struct conn *conn)
{
	unsigned char frame[ETH_HLEN + sizeof(struct tuple)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .repeat = 1);

	memcpy(frame + ETH_HLEN, &conn->tuples[DIR_ORIGINAL], sizeof(struct tuple));
	if (bpf_prog_test_run_opts(program, &opts))
		return -errno;
	if (opts.retval == ENOENT)
		return 0;
	return opts.retval ? -(int)opts.retval : 1;
}

int connection_end(const struct host *host, const struct conn *conn)
{
	return run_program(host->programs[PROGRAM_END_CONNECTION], conn);
}

/* So many places are in memory at a time: a table of a million is 200 MB, and a mapped page counts as ours. */
#define WINDOW 16384

/* The table, and the part of it that is in memory. */
struct table {
	int deadline_map, connection_map;
	int traffic_map;           /* -1: not wanted */
	struct progress *progress; /* NULL: nobody waits for all of it */
	size_t room, first, count;
	const struct block *deadlines;
	const struct conn *connections;
	const struct traffic *traffic[CONN_DIRS];
};

/* Of a map whose entries are so long, those from `first` on. */
static const void *map_part(int map, size_t size, size_t first, size_t count)
{
	void *memory = mmap(NULL, count * size, PROT_READ, MAP_SHARED, map, first * size);

	return memory == MAP_FAILED ? NULL : memory;
}

static void unmap_part(const void *memory, size_t size)
{
	if (memory)
		munmap((void *)memory, size);
}

static void window_close(struct table *t)
{
	unmap_part(t->deadlines, t->count * sizeof(__u32));
	unmap_part(t->connections, t->count * sizeof(struct conn));
	t->deadlines = NULL;
	t->connections = NULL;
	for (int dir = 0; dir < CONN_DIRS; dir++) {
		unmap_part(t->traffic[dir], t->count * sizeof(struct traffic));
		t->traffic[dir] = NULL;
	}
}

/* 0 or -errno. */
static int window_open(struct table *t, size_t first)
{
	t->first = first;
	t->count = t->room - first < WINDOW ? t->room - first : WINDOW;
	t->deadlines = map_part(t->deadline_map, sizeof(__u32), t->first, t->count);
	return t->deadlines ? 0 : -errno;
}

/* The rest, not before there is a connection. 0 or -errno. */
static int window_fill(struct table *t)
{
	if (t->connections)
		return 0;
	t->connections = map_part(t->connection_map, sizeof(struct conn), t->first, t->count);
	if (!t->connections)
		return -errno;
	for (int dir = 0; dir < CONN_DIRS && t->traffic_map >= 0; dir++) {
		t->traffic[dir] = map_part(t->traffic_map, sizeof(struct traffic), dir * t->room + t->first, t->count);
		if (!t->traffic[dir])
			return -errno;
	}
	return 0;
}

static bool is_live(const struct table *t, size_t i)
{
	const struct block *block = &t->deadlines[i / NSBPF_BLOCK_WORDS];

	return __atomic_load_n(&block->words[i % NSBPF_BLOCK_WORDS], __ATOMIC_ACQUIRE);
}

/* With the place's number in the window; non-zero ends the walk. */
typedef int place_fn(const struct table *t, size_t i, void *arg);

static int window_walk(struct table *t, place_fn *each, void *arg)
{
	int ret = 0;

	for (size_t i = 0; i < t->count && !ret; i++) {
		if (!is_live(t, i))
			continue;
		ret = window_fill(t);
		if (!ret)
			ret = each(t, i, arg);
	}
	return ret;
}

/* What each() returned, 0, or -errno. */
static int table_walk(struct table *t, place_fn *each, void *arg)
{
	int ret = 0;

	for (size_t first = 0; first < t->room && !ret; first += WINDOW) {
		if (t->progress)
			progress_at(t->progress, first);
		ret = window_open(t, first);
		if (!ret)
			ret = window_walk(t, each, arg);
		window_close(t);
	}
	return ret;
}

/* How many entries a map has; 0 if that can't be told. The settings might be of a table that has grown since. */
static size_t map_length(int map)
{
	struct bpf_map_info info = { 0 };
	__u32 length = sizeof(info);

	return bpf_obj_get_info_by_fd(map, &info, &length) ? 0 : info.max_entries;
}

static int table_open(const struct host *host, struct table *t)
{
	*t = (struct table){ .deadline_map = host->maps[MAP_DEADLINES],
			     .connection_map = host->maps[MAP_CONNECTIONS],
			     .traffic_map = -1 };
	t->room = map_length(t->connection_map);
	return t->room ? 0 : -errno;
}

struct running {
	int program;
	connection_fn *which; /* NULL: all */
	const void *arg;
};

static int run_on_place(const struct table *t, size_t i, void *arg)
{
	const struct running *running = arg;
	int ret = 0;

	if (!running->which || running->which(&t->connections[i], running->arg))
		ret = run_program(running->program, &t->connections[i]);
	return ret < 0 ? ret : 0;
}

static int run_on(const struct host *host, enum host_program program, connection_fn *which, const void *arg)
{
	struct running running = { host->programs[program], which, arg };
	struct progress progress;
	struct table table;
	int ret = table_open(host, &table);

	if (ret)
		return ret;
	table.progress = &progress;
	progress_begin(&progress, "going over connections", table.room);
	ret = table_walk(&table, run_on_place, &running);
	progress_end(&progress);
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

struct viewing {
	const struct host *host;
	connection_view_fn *each;
	void *arg;
};

static void get_tags(const struct conn *conn, __u32 tags[CONN_DIRS])
{
	for (int dir = 0; dir < CONN_DIRS; dir++)
		tags[dir] = __atomic_load_n(&conn->tags[dir], __ATOMIC_ACQUIRE);
}

/* A connection that ends while it is copied may have left its place to another: the tags are the first that is written
 * of that one, see conn_prepare() in bpf/conntrack.h. */
static bool view_read(const struct table *t, size_t i, struct connection_view *view)
{
	__u32 before[CONN_DIRS], after[CONN_DIRS];

	get_tags(&t->connections[i], before);
	view->place = t->first + i;
	view->conn = t->connections[i];
	for (int dir = 0; dir < CONN_DIRS; dir++)
		view->traffic[dir] = t->traffic[dir][i];
	__atomic_thread_fence(__ATOMIC_ACQUIRE);
	get_tags(&t->connections[i], after);
	return !memcmp(before, after, sizeof(before)) && is_live(t, i);
}

static int view_place(const struct table *t, size_t i, void *arg)
{
	const struct viewing *viewing = arg;
	struct connection_view view;

	if (!view_read(t, i, &view))
		return 0;
	connection_view_complete(viewing->host, &view);
	return viewing->each(&view, viewing->arg);
}

int connections_each(struct host *host, connection_view_fn *each, void *arg, struct error *err)
{
	struct viewing viewing = { host, each, arg };
	_cleanup_close_ int traffic = -1;
	struct table table;
	int ret;

	if (host_open_pin(host, "maps", "traffic", &traffic, err))
		return -1;
	ret = table_open(host, &table);
	table.traffic_map = traffic;
	if (!ret && map_length(traffic) != CONN_DIRS * table.room)
		return fail(err, EXIT_SYSTEM, "the table of connections has just become larger; try again");
	if (!ret)
		ret = table_walk(&table, view_place, &viewing);
	if (ret < 0)
		return fail(err, EXIT_SYSTEM, "cannot read the connections: %s", strerror(-ret));
	return ret;
}

struct search {
	const struct tuple *tuple;
	struct connection_view *view;
};

static int compare_view(const struct connection_view *view, void *arg)
{
	const struct search *search = arg;

	for (int dir = 0; dir < CONN_DIRS; dir++) {
		if (memcmp(&view->conn.tuples[dir], search->tuple, sizeof(*search->tuple)))
			continue;
		*search->view = *view;
		return 1;
	}
	return 0;
}

int connection_find(struct host *host, const struct tuple *tuple, struct connection_view *view, struct error *err)
{
	struct search search = { tuple, view };

	return connections_each(host, compare_view, &search, err);
}
