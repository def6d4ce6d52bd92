/* SPDX-License-Identifier: GPL-2.0-only */
/* Ending the host's own connections through a mapping that goes. */
#include "host_flows.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "addr.h"
#include "map_walk.h"

/* A socket, and where the mapping sent it. */
struct flow {
	__u64 cookie;
	struct nsbpf_addr given;
	__be16 given_port;
};

struct flows {
	const struct mapping *mapping;
	struct flow *list;
	size_t count, room;
};

static bool came_through(const struct socket_peer *peer, const struct mapping *m)
{
	__u16 port = ntohs(peer->asked_port);

	return port >= m->first && port <= m->last && ntohs(peer->given_port) == port - m->first + m->target &&
	       (addr_is_any(&m->addr) || addr_equal(&m->addr, &peer->asked));
}

static int append(struct flows *flows, __u64 cookie, const struct socket_peer *peer)
{
	if (flows->count == flows->room) {
		struct flow *longer = reallocarray(flows->list, flows->room * 2 + 64, sizeof(*longer));

		if (!longer)
			return -ENOMEM;
		flows->list = longer;
		flows->room = flows->room * 2 + 64;
	}
	flows->list[flows->count++] = (struct flow){ cookie, peer->given, peer->given_port };
	return 0;
}

static int collect(const void *key, const void *value, void *arg)
{
	const struct host_socket_peers *socket = value;
	struct flows *flows = arg;
	int ret = 0;

	if (socket->proto != flows->mapping->proto)
		return 0;
	for (int i = 0; i < NSBPF_SOCKET_PEERS && !ret; i++)
		if (came_through(&socket->peers[i], flows->mapping))
			ret = append(flows, *(const __u64 *)key, &socket->peers[i]);
	return ret;
}

/* A UDP socket may have been connected elsewhere since: only one that still is where it was sent has to go. */
static bool is_among(__u64 cookie, const struct nsbpf_addr *peer, __be16 peer_port, const void *arg)
{
	const struct flows *flows = arg;

	for (size_t i = 0; i < flows->count; i++) {
		const struct flow *flow = &flows->list[i];

		if (flow->cookie == cookie && flow->given_port == peer_port && addr_equal(&flow->given, peer))
			return true;
	}
	return false;
}

int host_flows_end(const struct host *host, const struct mapping *mapping)
{
	struct flows flows = { .mapping = mapping };
	int ret = map_walk(host->maps[MAP_HOST_SOCKETS], sizeof(__u64), sizeof(struct host_socket_peers), collect,
			   &flows);

	if (!ret && flows.count)
		ret = host_socket_destroy(mapping->proto, is_among, &flows);
	free(flows.list);
	return ret == -EOPNOTSUPP ? 0 : ret;
}
