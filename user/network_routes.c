/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a network has on the host by itself: routes that keep the host's packets to addresses that no endpoint has from
 * leaving by the default route, and its IPv6 gateway's address.
 *
 * That is on lo, once, and not on each host veth as IPv4's: a packet's source is looked for among all addresses of all
 * devices (ipv6_dev_get_saddr), and an address by going over all devices that have it (find_rr_leaf). Deprecated, it is
 * the last that the host would take for its own packets.
 */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "host_addresses.h"
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

static struct link_addr gateway6(const struct network *network)
{
	return (struct link_addr){
		.ifindex = LOOPBACK_IFINDEX,
		.addr = network->gateway6,
		.prefix = 128,
		.flags = IFA_F_NODAD | IFA_F_DEPRECATED,
		.proto = ROUTE_PROTOCOL,
	};
}

static int add_gateway6(struct host *host, const struct network *network)
{
	struct link_addr addr = gateway6(network);
	int ret = addr_add(host->nl, &addr, true);

	return ret && ret != -EEXIST ? ret : host_gateway_add(host, &network->gateway6);
}

static int delete_gateway6(struct host *host, const struct network *network)
{
	struct link_addr addr = gateway6(network);
	int ret = addr_delete(host->nl, &addr);

	return ret == -EADDRNOTAVAIL || ret == -EOPNOTSUPP ? 0 : ret;
}

int network_add_routes(struct host *host, const struct network *network, struct error *err)
{
	int ret = add_route(host, network_subnet4(network));

	if (!ret && !ipv6_missing())
		ret = add_route(host, network_subnet6(network));
	if (!ret && !ipv6_missing())
		ret = add_gateway6(host, network);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot add the routes of network %s: %s", network->name, strerror(-ret));
	return 0;
}

int network_delete_routes(struct host *host, const struct network *network, struct error *err)
{
	int ret = delete_route(host, network_subnet4(network));

	if (!ret)
		ret = delete_route(host, network_subnet6(network));
	if (!ret)
		ret = delete_gateway6(host, network);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot delete the routes of network %s: %s", network->name,
			    strerror(-ret));
	return 0;
}

struct mending {
	struct host *host;
	struct error *err;
	bool any;
};

static int mend(unsigned int slot, const struct network *network, void *arg)
{
	struct mending *m = arg;

	(void)slot;
	if (network->state != SLOT_READY || host_address_kind(m->host, &network->gateway6))
		return 0;
	m->any = true;
	return network_add_routes(m->host, network, m->err);
}

int networks_mend(struct host *host, struct error *err)
{
	struct mending m = { .host = host, .err = err };

	return !ipv6_missing() && network_each(host, mend, &m) ? -1 : m.any;
}
