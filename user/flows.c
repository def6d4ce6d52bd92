/* SPDX-License-Identifier: GPL-2.0-only */
/* Which connections carry most. A million of them is read in a fraction of a second: their maps are memory. */
#include "flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "cleanup.h"
#include "host_maps.h"

#define NS_PER_S 1000000000ULL
#define BITS_PER_BYTE 8

/* What a place's connection had carried at the last look. */
struct seen {
	__u64 tags; /* both, which name the connection; 0: there was none */
	__u64 bytes[CONN_DIRS];
	__u32 packets[CONN_DIRS]; /* the lower half: enough for a difference */
};

/* The table, as memory. */
struct tables {
	const struct conn *connections;
	const struct traffic *traffic; /* replies behind originals */
	const struct block *deadlines;
	__u32 room;
};

static size_t connections_size(const struct tables *t)
{
	return (size_t)t->room * sizeof(*t->connections);
}

static size_t traffic_size(const struct tables *t)
{
	return (size_t)t->room * CONN_DIRS * sizeof(*t->traffic);
}

static size_t deadlines_size(const struct tables *t)
{
	return t->room / NSBPF_BLOCK_WORDS * sizeof(*t->deadlines);
}

static void tables_unmap(struct tables *t)
{
	if (t->connections)
		munmap((void *)t->connections, connections_size(t));
	if (t->traffic)
		munmap((void *)t->traffic, traffic_size(t));
	if (t->deadlines)
		munmap((void *)t->deadlines, deadlines_size(t));
}

static int tables_map(struct tables *t, struct host *host, struct error *err)
{
	_cleanup_close_ int traffic = -1;

	*t = (struct tables){ .room = host->settings->connections };
	if (host_open_pin(host, "maps", "traffic", &traffic, err))
		return -1;
	t->connections = map_memory(host->maps[MAP_CONNECTIONS], connections_size(t), false);
	if (t->connections)
		t->traffic = map_memory(traffic, traffic_size(t), false);
	if (t->traffic)
		t->deadlines = map_memory(host->maps[MAP_DEADLINES], deadlines_size(t), false);
	if (t->deadlines)
		return 0;
	fail(err, EXIT_SYSTEM, "cannot map the connection table: %s", strerror(errno));
	tables_unmap(t);
	return -1;
}

/* A value that packets change meanwhile. */
static __u64 load(const void *value)
{
	return __atomic_load_n((const __u64 *)value, __ATOMIC_ACQUIRE);
}

static bool is_there(const struct tables *t, __u32 i)
{
	return __atomic_load_n(&t->deadlines[i / NSBPF_BLOCK_WORDS].words[i % NSBPF_BLOCK_WORDS], __ATOMIC_ACQUIRE);
}

/* False: there is none here, or it began or ended just now. */
static bool look_at(const struct tables *t, __u32 i, struct seen *now)
{
	const struct traffic *traffic[CONN_DIRS] = { &t->traffic[i], &t->traffic[t->room + i] };

	if (!is_there(t, i))
		return false;
	now->tags = load(t->connections[i].tags);
	for (int dir = 0; dir < CONN_DIRS; dir++) {
		now->bytes[dir] = load(&traffic[dir]->bytes);
		now->packets[dir] = (__u32)load(&traffic[dir]->packets);
	}
	return now->tags && is_there(t, i) && load(t->connections[i].tags) == now->tags;
}

static double size_of(const struct flow *flow, enum flow_order order)
{
	const double *rates = order == FLOWS_BY_BITS ? flow->bits : flow->packets;

	return rates[DIR_ORIGINAL] + rates[DIR_REPLY];
}

/* What it carried since; a connection that is new here, and so has carried less than the last, since it began. */
static void measure(struct flow *flow, const struct seen *now, const struct seen *before, double seconds)
{
	static const struct seen none;

	if (before->tags != now->tags || before->bytes[DIR_ORIGINAL] > now->bytes[DIR_ORIGINAL] ||
	    before->bytes[DIR_REPLY] > now->bytes[DIR_REPLY])
		before = &none;
	for (int dir = 0; dir < CONN_DIRS; dir++) {
		flow->packets[dir] = (__u32)(now->packets[dir] - before->packets[dir]) / seconds;
		flow->bits[dir] = (double)(now->bytes[dir] - before->bytes[dir]) * BITS_PER_BYTE / seconds;
	}
}

/* Into its place among the largest, if it has one there. */
static void insert(struct flows *flows, const struct flow *flow, const struct flow_query *query)
{
	double size = size_of(flow, query->order);
	size_t at = flows->count;

	if (at == query->limit && (!at || size_of(&flows->top[at - 1], query->order) >= size))
		return;
	while (at && size_of(&flows->top[at - 1], query->order) < size)
		at--;
	if (flows->count < query->limit)
		flows->count++;
	memmove(&flows->top[at + 1], &flows->top[at], (flows->count - 1 - at) * sizeof(*flow));
	flows->top[at] = *flow;
}

static void look_at_all(struct flows *flows, const struct tables *t, const struct flow_query *query, double seconds)
{
	for (__u32 i = 0; i < t->room; i++) {
		struct seen now, before = flows->seen[i];
		struct flow flow;

		if (!look_at(t, i, &now)) {
			/* Where there was none, memory that was never written stays so. */
			if (before.tags)
				flows->seen[i] = (struct seen){ 0 };
			continue;
		}
		flows->seen[i] = now;
		if (!seconds)
			continue;
		measure(&flow, &now, &before, seconds);
		if (!size_of(&flow, query->order))
			continue;
		flow.conn = t->connections[i];
		if (load(t->connections[i].tags) == now.tags && query->wanted(&flow.conn, query->arg))
			insert(flows, &flow, query);
	}
}

/* The last look is forgotten if it was at another table: another host's, or before it grew. */
static int make_room(struct flows *flows, const struct tables *t, const struct flow_query *query)
{
	if (flows->room != t->room) {
		free(flows->seen);
		flows->seen = calloc(t->room, sizeof(*flows->seen));
		flows->room = flows->seen ? t->room : 0;
		flows->taken = 0;
	}
	free(flows->top);
	flows->top = calloc(query->limit + 1, sizeof(*flows->top));
	flows->count = 0;
	return flows->seen && flows->top ? 0 : -ENOMEM;
}

int flows_look(struct flows *flows, struct host *host, const struct flow_query *query, struct error *err)
{
	unsigned long long last;
	struct timespec now;
	struct tables t;

	if (tables_map(&t, host, err))
		return -1;
	if (make_room(flows, &t, query)) {
		tables_unmap(&t);
		return fail(err, EXIT_SYSTEM, "cannot look at %u connections: out of memory", t.room);
	}
	clock_gettime(CLOCK_MONOTONIC, &now);
	last = flows->taken;
	flows->taken = now.tv_sec * NS_PER_S + now.tv_nsec;
	look_at_all(flows, &t, query, last ? (double)(flows->taken - last) / NS_PER_S : 0);
	tables_unmap(&t);
	return 0;
}

void flows_free(struct flows *flows)
{
	free(flows->seen);
	free(flows->top);
	*flows = (struct flows){ 0 };
}
