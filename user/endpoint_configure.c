/* SPDX-License-Identifier: GPL-2.0-only */
/* An endpoint's addresses and routes, on both ends of its veth, in both families. */
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "endpoint_internal.h"
#include "host_addresses.h"
#include "ipv6.h"
#include "netns.h"
#include "sysctl.h"

bool endpoint_ways(const struct endpoint *endpoint, const struct network *network, int family, struct ways *ways)
{
	static const struct nsbpf_addr any;
	bool is4 = family == AF_INET;
	struct nsbpf_addr addr = is4 ? addr_from4(endpoint->addr4) : endpoint->addr6;
	struct nsbpf_addr gateway = is4 ? addr_from4(network->gateway4) : network->gateway6;

	*ways = (struct ways){
		.address = { .addr = addr,
			     .prefix = is4 ? network->prefix4 : network->prefix6,
			     .flags = is4 ? 0 : IFA_F_NODAD },
		.inside = { .dst = is4 ? addr_from4(0) : any,
			    .gateway = gateway,
			    .table = RT_TABLE_MAIN,
			    .type = RTN_UNICAST,
			    .scope = RT_SCOPE_UNIVERSE,
			    .protocol = RTPROT_STATIC },
		.outside = { .dst = addr,
			     .prefix = is4 ? 32 : 128,
			     .prefsrc = gateway,
			     .ifindex = endpoint->ifindex,
			     .table = RT_TABLE_MAIN,
			     .type = RTN_UNICAST,
			     .scope = RT_SCOPE_LINK,
			     .protocol = RTPROT_STATIC },
		.gateway = { .ifindex = endpoint->ifindex, .addr = gateway, .prefix = 32 },
	};
	return !addr_is_any(&addr);
}

/* Inside, for one family: address and default route. */
static int configure_inside(struct nl *nl, unsigned int ifindex, const struct endpoint *endpoint,
			    const struct network *network, int family)
{
	struct ways ways;
	int ret;

	if (!endpoint_ways(endpoint, network, family, &ways))
		return 0;
	ways.address.ifindex = ways.inside.ifindex = ifindex;
	ret = addr_add(nl, &ways.address, false);
	return ret ? ret : route_add(nl, &ways.inside);
}

/* Outside, for one family: the way to the endpoint, and its MAC, so that nobody has to ask for it. */
static int configure_outside(struct host *host, const struct endpoint *endpoint, const struct ways *ways)
{
	int ret = route_add(host->nl, &ways->outside);

	return ret ? ret : neigh_set(host->nl, endpoint->ifindex, &ways->address.addr, endpoint->mac);
}

static int configure_outside4(struct host *host, const struct endpoint *endpoint, const struct network *network)
{
	struct ways ways;
	int ret;

	endpoint_ways(endpoint, network, AF_INET, &ways);
	ret = addr_add(host->nl, &ways.gateway, true);
	if (!ret)
		ret = configure_outside(host, endpoint, &ways);
	return ret ? ret : host_gateway_add(host, &ways.gateway.addr);
}

static int configure_outside6(struct host *host, const struct endpoint *endpoint, const struct network *network)
{
	struct ways ways;

	return endpoint_ways(endpoint, network, AF_INET6, &ways) ? configure_outside(host, endpoint, &ways) : 0;
}

/* Should from_endpoint be missing: no namespace makes itself a router of the host. In a container /proc/sys may be
 * read-only, and without IPv6 there is no such switch. */
int endpoint_refuse_advertisements(const struct endpoint *endpoint, unsigned int slot)
{
	char device[IFNAMSIZ], path[SYSCTL_PATH];
	int ret;

	endpoint_device(endpoint, slot, device);
	snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", device);
	ret = sysctl_write(path, 0);
	return ret == -ENOENT || sysctl_is_closed(ret) ? 0 : ret;
}

static int fail_inside(const struct endpoint *endpoint, int ret, struct error *err)
{
	return fail(err, ret == -EEXIST ? EXIT_CONFLICT : EXIT_SYSTEM, "cannot configure namespace %s: %s",
		    endpoint->name, ret == -EEXIST ? "it has a default route or that address already" : strerror(-ret));
}

static int fail_outside(const struct endpoint *endpoint, int ret, struct error *err)
{
	return fail(err, EXIT_SYSTEM, "cannot configure the veth of %s: %s", endpoint->name, strerror(-ret));
}

#define ROUTE_METRIC6 1024 /* what the kernel gives one that comes without */

static int is_default_route6(const struct route *route, void *arg)
{
	(void)arg;
	return !route->prefix && route->table == RT_TABLE_MAIN && route->metric == ROUTE_METRIC6;
}

/* The namespace may have IPv6 switched off, or be somebody else's way to it, which only shows now. */
static int settle_ipv6(struct host *host, struct endpoint *endpoint, struct nl *nl, const struct link *device,
		       struct endpoint_spec *spec, struct error *err)
{
	const char *why = "net.ipv6.conf." NS_DEVICE ".disable_ipv6 is 1 in the namespace";
	int ret = 0;

	if (addr_is_any(&endpoint->addr6))
		return 0;
	if (device->has_ipv6) {
		if (endpoint->flags & ENDPOINT_ADOPTED)
			ret = route_each(nl, AF_INET6, RTN_UNICAST, is_default_route6, NULL);
		if (ret <= 0)
			return ret ? fail_inside(endpoint, ret, err) : 0;
		why = "the namespace has a default route of its own";
	}
	if (endpoint_without_ipv6(spec, why, err))
		return -1;
	ret = endpoint_forget_address(host, &endpoint->addr6);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot forget the IPv6 address of %s: %s", endpoint->name,
			    strerror(-ret));
	memset(&endpoint->addr6, 0, sizeof(endpoint->addr6));
	return 0;
}

static int configure_namespace(struct host *host, struct endpoint *endpoint, const struct network *network, int ns_fd,
			       struct endpoint_spec *spec, struct error *err)
{
	_cleanup_nl_ struct nl *nl = NULL;
	struct link device = { 0 };
	int ret;

	ret = nl_open_at(&nl, ns_fd);
	if (!ret)
		ret = link_set_up(nl, LOOPBACK_IFINDEX);
	if (!ret)
		ret = link_get(nl, NS_DEVICE, &device);
	if (!ret)
		ret = link_set_up(nl, device.ifindex);
	if (ret)
		return fail_inside(endpoint, ret, err);
	if (settle_ipv6(host, endpoint, nl, &device, spec, err))
		return -1;
	ret = configure_inside(nl, device.ifindex, endpoint, network, AF_INET);
	if (!ret)
		ret = configure_inside(nl, device.ifindex, endpoint, network, AF_INET6);
	return ret ? fail_inside(endpoint, ret, err) : 0;
}

static int configure_host(struct host *host, unsigned int slot, const struct endpoint *endpoint,
			  const struct network *network, struct error *err)
{
	int ret = endpoint_refuse_advertisements(endpoint, slot);

	if (!ret)
		ret = link_set_up(host->nl, endpoint->ifindex);
	if (!ret)
		ret = configure_outside4(host, endpoint, network);
	if (!ret)
		ret = configure_outside6(host, endpoint, network);
	return ret ? fail_outside(endpoint, ret, err) : 0;
}

int endpoint_configure(struct host *host, unsigned int slot, struct endpoint *endpoint, const struct network *network,
		       int ns_fd, struct endpoint_spec *spec, struct error *err)
{
	return configure_namespace(host, endpoint, network, ns_fd, spec, err) ||
			       configure_host(host, slot, endpoint, network, err)
		       ? -1
		       : 0;
}

static int is_address(const struct link_addr *addr, void *arg)
{
	return addr_equal(&addr->addr, arg);
}

int endpoint_open_inside(const struct endpoint *endpoint, struct nl **nl, struct link *device)
{
	_cleanup_close_ int ns_fd = netns_open(endpoint->name);
	int ret;

	if (ns_fd < 0)
		return ns_fd;
	ret = nl_open_at(nl, ns_fd);
	return ret ? ret : link_get(*nl, NS_DEVICE, device);
}

/* Only where the address is gone: a default route that somebody has taken away or changed is theirs. */
static int mend_inside(const struct endpoint *endpoint, const struct network *network)
{
	struct nsbpf_addr addr = endpoint->addr6;
	_cleanup_nl_ struct nl *nl = NULL;
	struct link device = { 0 };
	int ret;

	ret = endpoint_open_inside(endpoint, &nl, &device);
	if (!ret && !device.has_ipv6)
		return 0;
	if (!ret)
		ret = addr_each(nl, 0, is_address, &addr);
	if (ret)
		return ret < 0 ? ret : 0;
	ret = configure_inside(nl, device.ifindex, endpoint, network, AF_INET6);
	return ret && ret != -EEXIST ? ret : 1;
}

struct mending {
	struct host *host;
	struct error *err;
};

static int mend_outside(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct mending *m = arg;
	struct network network;
	int ret;

	(void)slot;
	if (endpoint->state != SLOT_READY || network_get(m->host, endpoint->network, &network))
		return 0;
	ret = configure_outside6(m->host, endpoint, &network);
	/* Without its device it is gone: `list` says so. */
	return ret && ret != -EEXIST && ret != -ENODEV ? fail_outside(endpoint, ret, m->err) : 0;
}

int endpoints_mend(struct host *host, struct error *err)
{
	return endpoint_each(host, mend_outside, &(struct mending){ host, err });
}

int endpoint_mend(struct host *host, const struct endpoint *endpoint, const struct network *network, struct error *err)
{
	int inside, outside;

	if (addr_is_any(&endpoint->addr6) || ipv6_missing())
		return 0;
	inside = mend_inside(endpoint, network);
	if (inside < 0)
		return fail_inside(endpoint, inside, err);
	outside = configure_outside6(host, endpoint, network);
	if (outside && outside != -EEXIST)
		return fail_outside(endpoint, outside, err);
	return inside || !outside;
}
