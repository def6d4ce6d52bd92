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

/* Inside, for one family: address and default route. */
static int configure_inside(struct nl *nl, const struct link_addr *addr, const struct nsbpf_addr *gateway)
{
	struct route route = {
		.gateway = *gateway,
		.ifindex = addr->ifindex,
		.table = RT_TABLE_MAIN,
		.type = RTN_UNICAST,
		.scope = RT_SCOPE_UNIVERSE,
		.protocol = RTPROT_STATIC,
	};
	int ret = addr_add(nl, addr, false);

	if (addr_is4(gateway))
		route.dst = addr_from4(0);
	return ret ? ret : route_add(nl, &route);
}

static int configure_inside4(struct nl *nl, unsigned int ifindex, const struct endpoint *endpoint,
			     const struct network *network)
{
	struct link_addr addr = {
		.ifindex = ifindex,
		.addr = addr_from4(endpoint->addr4),
		.prefix = network->prefix4,
	};
	struct nsbpf_addr gateway = addr_from4(network->gateway4);

	return configure_inside(nl, &addr, &gateway);
}

static int configure_inside6(struct nl *nl, unsigned int ifindex, const struct endpoint *endpoint,
			     const struct network *network)
{
	struct link_addr addr = {
		.ifindex = ifindex,
		.addr = endpoint->addr6,
		.prefix = network->prefix6,
		.flags = IFA_F_NODAD,
	};

	return addr_is_any(&addr.addr) ? 0 : configure_inside(nl, &addr, &network->gateway6);
}

/* Outside, for one family: the way to the endpoint, and its MAC, so that nobody has to ask for it. */
static int configure_outside(struct host *host, const struct endpoint *endpoint, const struct nsbpf_addr *addr,
			     const struct nsbpf_addr *gateway)
{
	struct route route = {
		.dst = *addr,
		.prefix = addr_is4(addr) ? 32 : 128,
		.prefsrc = *gateway,
		.ifindex = endpoint->ifindex,
		.table = RT_TABLE_MAIN,
		.type = RTN_UNICAST,
		.scope = RT_SCOPE_LINK,
		.protocol = RTPROT_STATIC,
	};
	int ret = route_add(host->nl, &route);

	return ret ? ret : neigh_set(host->nl, endpoint->ifindex, addr, endpoint->mac);
}

static int configure_outside4(struct host *host, const struct endpoint *endpoint, const struct network *network)
{
	struct nsbpf_addr addr = addr_from4(endpoint->addr4);
	struct link_addr gateway = {
		.ifindex = endpoint->ifindex,
		.addr = addr_from4(network->gateway4),
		.prefix = 32,
	};
	int ret = addr_add(host->nl, &gateway, true);

	if (!ret)
		ret = configure_outside(host, endpoint, &addr, &gateway.addr);
	return ret ? ret : host_gateway_add(host, &gateway.addr);
}

static int configure_outside6(struct host *host, const struct endpoint *endpoint, const struct network *network)
{
	return addr_is_any(&endpoint->addr6) ? 0
					     : configure_outside(host, endpoint, &endpoint->addr6, &network->gateway6);
}

/* Should from_endpoint be missing: no namespace makes itself a router of the host. In a container /proc/sys may be
 * read-only, and without IPv6 there is no such switch. */
static int refuse_advertisements(const struct endpoint *endpoint, unsigned int slot)
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
	ret = configure_inside4(nl, device.ifindex, endpoint, network);
	if (!ret)
		ret = configure_inside6(nl, device.ifindex, endpoint, network);
	return ret ? fail_inside(endpoint, ret, err) : 0;
}

static int configure_host(struct host *host, unsigned int slot, const struct endpoint *endpoint,
			  const struct network *network, struct error *err)
{
	int ret = refuse_advertisements(endpoint, slot);

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

/* Only where the address is gone: a default route that somebody has taken away or changed is theirs. */
static int mend_inside(const struct endpoint *endpoint, const struct network *network)
{
	_cleanup_close_ int ns_fd = netns_open(endpoint->name);
	struct nsbpf_addr addr = endpoint->addr6;
	_cleanup_nl_ struct nl *nl = NULL;
	struct link device = { 0 };
	int ret;

	if (ns_fd < 0)
		return ns_fd;
	ret = nl_open_at(&nl, ns_fd);
	if (!ret)
		ret = link_get(nl, NS_DEVICE, &device);
	if (!ret && !device.has_ipv6)
		return 0;
	if (!ret)
		ret = addr_each(nl, 0, is_address, &addr);
	if (ret)
		return ret < 0 ? ret : 0;
	ret = configure_inside6(nl, device.ifindex, endpoint, network);
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
