/* SPDX-License-Identifier: GPL-2.0-only */
/* Walking over the connection table. */
#include "connections.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "map_walk.h"

struct walk {
	connection_fn *each;
	void *arg;
};

static int original_only(const void *key, const void *value, void *arg)
{
	const struct conn *conn = value;
	struct walk *walk = arg;

	return conn->flags & CONN_ORIGINAL ? walk->each(key, conn, walk->arg) : 0;
}

int connection_each(const struct host *host, connection_fn *each, void *arg)
{
	struct walk walk = { each, arg };

	return map_walk(host->maps[MAP_CONNECTIONS], sizeof(struct tuple), sizeof(struct conn), original_only, &walk);
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

static struct tuple reversed(const struct tuple *tuple)
{
	return (struct tuple){ .saddr = tuple->daddr,
			       .daddr = tuple->saddr,
			       .sport = tuple->dport,
			       .dport = tuple->sport,
			       .proto = tuple->proto };
}

static int end_one(const struct tuple *tuple, const struct conn *conn, void *arg)
{
	struct tuple reply_key = reversed(&conn->xlat), back;
	struct ending *ending = arg;
	int map = ending->host->maps[MAP_CONNECTIONS];
	struct conn reply;

	if (!ending->which(tuple, conn, ending->arg))
		return 0;
	/* The reply first, as conn_expire() does; but one that does not lead back is another connection's by now. */
	if (!bpf_map_lookup_elem(map, &reply_key, &reply)) {
		back = reversed(&reply.xlat);
		if (!memcmp(&back, tuple, sizeof(back)) && bpf_map_delete_elem(map, &reply_key) && errno != ENOENT)
			return -errno;
	}
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
