/* SPDX-License-Identifier: GPL-2.0-only */
/* Ending the host's own connections through a mapping that goes. */
#include "host_flows.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "addr.h"
#include "cleanup.h"

struct cookies {
	__u64 *list;
	size_t count;
};

static bool came_through(const struct host_socket_peers *socket, const struct mapping *m)
{
	if (socket->proto != m->proto)
		return false;
	for (int i = 0; i < NSBPF_SOCKET_PEERS; i++) {
		const struct socket_peer *peer = &socket->peers[i];
		__u16 port = ntohs(peer->asked_port);

		if (port >= m->first && port <= m->last && ntohs(peer->given_port) == port - m->first + m->target &&
		    (addr_is_any(&m->addr) || addr_equal(&m->addr, &peer->asked)))
			return true;
	}
	return false;
}

static int collect(const struct host *host, const struct mapping *m, struct cookies *cookies)
{
	int map = host->maps[MAP_HOST_SOCKETS];
	struct host_socket_peers socket;
	__u64 key, *previous = NULL, next;
	size_t room = 0;

	/* A socket that closes under our hands may start the walk again: twice in the list does no harm. */
	while (!bpf_map_get_next_key(map, previous, &next)) {
		key = next;
		previous = &key;
		if (bpf_map_lookup_elem(map, &key, &socket) || !came_through(&socket, m))
			continue;
		if (cookies->count == room) {
			__u64 *longer = reallocarray(cookies->list, room = room * 2 + 64, sizeof(*longer));

			if (!longer)
				return -ENOMEM;
			cookies->list = longer;
		}
		cookies->list[cookies->count++] = key;
	}
	return 0;
}

static bool is_among(__u64 cookie, const void *arg)
{
	const struct cookies *cookies = arg;

	for (size_t i = 0; i < cookies->count; i++)
		if (cookies->list[i] == cookie)
			return true;
	return false;
}

int host_flows_end(const struct host *host, const struct mapping *mapping)
{
	struct cookies cookies = { 0 };
	int ret = collect(host, mapping, &cookies);

	if (!ret && cookies.count)
		ret = host_socket_destroy(mapping->proto, is_among, &cookies);
	free(cookies.list);
	return ret == -EOPNOTSUPP ? 0 : ret;
}
