/* SPDX-License-Identifier: GPL-2.0-only */
/* The routes of networks: packets of the host to addresses that no endpoint has must not leave by the default route. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "ipv6.h"
#include "networks.h"

static struct route subnet_route(const struct cidr *subnet)
{
	return (struct route){
		.dst = subnet->addr,
		.prefix = addr_is4(&subnet->addr) ? subnet->prefix - 96 : subnet->prefix,
		.table = RT_TABLE_MAIN,
		.type = RTN_UNREACHABLE,
		.scope = RT_SCOPE_UNIVERSE,
		.protocol = ROUTE_PROTOCOL,
	};
}

static int add_route(struct host *host, struct cidr subnet)
{
	struct route route = subnet_route(&subnet);
	int ret = route_add(host->nl, &route);

	return ret == -EEXIST ? 0 : ret;
}

static int delete_route(struct host *host, struct cidr subnet)
{
	struct route route = subnet_route(&subnet);
	int ret = route_delete(host->nl, &route);

	return ret == -ESRCH || ret == -EOPNOTSUPP ? 0 : ret; /* the latter: a kernel without IPv6 */
}

int network_add_route6(struct host *host, const struct network *network)
{
	return add_route(host, network_subnet6(network));
}

int network_add_routes(struct host *host, const struct network *network, struct error *err)
{
	int ret = add_route(host, network_subnet4(network));

	/* Where there is no IPv6 yet, the first endpoint that has it brings the route. */
	if (!ret && !ipv6_missing())
		ret = network_add_route6(host, network);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot add the routes of network %s: %s", network->name, strerror(-ret));
	return 0;
}

int network_delete_routes(struct host *host, const struct network *network, struct error *err)
{
	int ret = delete_route(host, network_subnet4(network));

	if (!ret)
		ret = delete_route(host, network_subnet6(network));
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot delete the routes of network %s: %s", network->name,
			    strerror(-ret));
	return 0;
}
