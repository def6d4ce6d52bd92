/* SPDX-License-Identifier: GPL-2.0-only */
/* Which connections carry most. */
#include "flows.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1000000000ULL
#define BITS_PER_BYTE 8

/* What a place's connection had carried at the last look. */
struct seen {
	__u32 tags[CONN_DIRS]; /* which name the connection; 0: there was none yet */
	__u64 bytes[CONN_DIRS];
	__u32 packets[CONN_DIRS]; /* the lower half: enough for a difference */
};

static double size_of(const struct flow *flow, enum flow_order order)
{
	const double *rates = order == FLOWS_BY_BITS ? flow->bits : flow->packets;

	return rates[DIR_ORIGINAL] + rates[DIR_REPLY];
}

static struct seen seen_now(const struct connection_view *view)
{
	struct seen now;

	for (int dir = 0; dir < CONN_DIRS; dir++) {
		now.tags[dir] = view->conn.tags[dir];
		now.bytes[dir] = view->traffic[dir].bytes;
		now.packets[dir] = (__u32)view->traffic[dir].packets;
	}
	return now;
}

/* The same tuples may come again, and have the place again: then they have carried less. */
static bool is_same(const struct seen *now, const struct seen *before)
{
	return !memcmp(now->tags, before->tags, sizeof(now->tags)) &&
	       before->bytes[DIR_ORIGINAL] <= now->bytes[DIR_ORIGINAL] &&
	       before->bytes[DIR_REPLY] <= now->bytes[DIR_REPLY];
}

/* What it has carried since; all of it if it was not there. */
static void measure(struct flow *flow, const struct seen *now, const struct seen *before, double seconds)
{
	static const struct seen none;

	if (!is_same(now, before))
		before = &none;
	for (int dir = 0; dir < CONN_DIRS; dir++) {
		flow->packets[dir] = (__u32)(now->packets[dir] - before->packets[dir]) / seconds;
		flow->bits[dir] = (double)(now->bytes[dir] - before->bytes[dir]) * BITS_PER_BYTE / seconds;
	}
}

/* Among the largest, if it is one of them. */
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

struct looking {
	struct flows *flows;
	const struct flow_query *query;
	double seconds; /* since the last look; 0: there was none */
};

static int look_at(const struct connection_view *view, void *arg)
{
	const struct looking *l = arg;
	struct seen now = seen_now(view), before;
	struct flow flow;

	if (view->place >= l->flows->room) /* the table has grown just now */
		return 0;
	before = l->flows->seen[view->place];
	l->flows->seen[view->place] = now;
	if (!l->seconds)
		return 0;
	measure(&flow, &now, &before, l->seconds);
	if (!size_of(&flow, l->query->order) || !l->query->wanted(&view->conn, l->query->arg))
		return 0;
	flow.view = *view;
	flow.view.endpoint = NULL;
	insert(l->flows, &flow, l->query);
	return 0;
}

/* The last look is forgotten if it was at another table: another host's, or before it grew. */
static int make_room(struct flows *flows, __u32 room, size_t limit)
{
	if (flows->room != room) {
		free(flows->seen);
		flows->seen = calloc(room, sizeof(*flows->seen));
		flows->room = flows->seen ? room : 0;
		flows->taken = 0;
	}
	free(flows->top);
	flows->top = calloc(limit + 1, sizeof(*flows->top));
	flows->count = 0;
	return flows->seen && flows->top ? 0 : -ENOMEM;
}

int flows_look(struct flows *flows, struct host *host, const struct flow_query *query, struct error *err)
{
	struct looking l = { .flows = flows, .query = query };
	struct timespec now;
	unsigned long long ns;

	if (make_room(flows, host->settings->connections, query->limit))
		return fail(err, EXIT_SYSTEM, "cannot look at the connections: out of memory");
	clock_gettime(CLOCK_MONOTONIC, &now);
	ns = now.tv_sec * NS_PER_S + now.tv_nsec;
	if (flows->taken)
		l.seconds = (double)(ns - flows->taken) / NS_PER_S;
	flows->taken = ns;
	return connections_each(host, look_at, &l, err);
}

void flows_free(struct flows *flows)
{
	free(flows->seen);
	free(flows->top);
	*flows = (struct flows){ 0 };
}
