/* SPDX-License-Identifier: GPL-2.0-only */
/* Making what an endpoint consists of: namespace, veth, addresses, routes, programs. Its record is there already. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "datapath.h"
#include "endpoint_internal.h"
#include "host_addresses.h"
#include "netns.h"
#include "sysctl.h"

#define NS_DEVICE "eth0"

int endpoint_write(const struct host *host, unsigned int slot, const struct endpoint *endpoint, struct error *err)
{
	if (bpf_map_update_elem(host->maps[MAP_ENDPOINTS], &slot, endpoint, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot note endpoint %s: %s", endpoint->name, strerror(errno));
	return 0;
}

static int open_namespace(const struct endpoint *endpoint, struct error *err)
{
	int fd, ret = 0;

	if (!(endpoint->flags & ENDPOINT_ADOPTED))
		ret = netns_add(endpoint->name);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot make namespace %s: %s", endpoint->name, strerror(-ret));
	fd = netns_open(endpoint->name);
	return fd >= 0 ? fd : fail(err, EXIT_SYSTEM, "cannot open namespace %s: %s", endpoint->name, strerror(-fd));
}

static int make_veth(struct host *host, unsigned int slot, const struct endpoint *endpoint, int ns_fd,
		     struct error *err)
{
	char name[IFNAMSIZ], alias[sizeof(ENDPOINT_ALIAS) + NSBPF_NAME_MAX];
	struct veth veth = { .ifindex = endpoint->ifindex,
			     .name = name,
			     .alias = alias,
			     .mac = endpoint->gateway_mac,
			     .ns_name = NS_DEVICE,
			     .ns_mac = endpoint->mac,
			     .ns_fd = ns_fd,
			     .mtu = endpoint->mtu };
	int ret;

	endpoint_device(endpoint, slot, name);
	snprintf(alias, sizeof(alias), ENDPOINT_ALIAS "%s", endpoint->name);
	ret = link_add_veth(host->nl, &veth);
	if (ret == -EEXIST)
		return fail(err, EXIT_CONFLICT, "cannot add %s: device %s on this host or " NS_DEVICE " in it exists",
			    endpoint->name, name);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot make veth %s: %s", name, strerror(-ret));
	return 0;
}

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

/* Outside, for one family: the gateway's address, the way to the endpoint, and its MAC, so that nobody has to ask for
 * it. */
static int configure_outside(struct host *host, const struct endpoint *endpoint, const struct nsbpf_addr *addr,
			     const struct nsbpf_addr *gateway)
{
	unsigned int prefix = addr_is4(addr) ? 32 : 128;
	struct link_addr own = {
		.ifindex = endpoint->ifindex,
		.addr = *gateway,
		.prefix = prefix,
		.flags = addr_is4(addr) ? 0 : IFA_F_NODAD,
	};
	struct route route = {
		.dst = *addr,
		.prefix = prefix,
		.prefsrc = *gateway,
		.ifindex = endpoint->ifindex,
		.table = RT_TABLE_MAIN,
		.type = RTN_UNICAST,
		.scope = RT_SCOPE_LINK,
		.protocol = RTPROT_STATIC,
	};
	int ret;

	ret = addr_add(host->nl, &own, true);
	if (!ret)
		ret = route_add(host->nl, &route);
	if (!ret)
		ret = neigh_set(host->nl, endpoint->ifindex, addr, endpoint->mac);
	if (!ret)
		ret = host_address_add(host, gateway);
	return ret;
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

/* The namespace may have IPv6 switched off, which only shows now. */
static int settle_ipv6(struct host *host, struct endpoint *endpoint, const struct link *device,
		       struct endpoint_spec *spec, struct error *err)
{
	int ret;

	if (addr_is_any(&endpoint->addr6) || device->has_ipv6)
		return 0;
	if (endpoint_without_ipv6(spec, "net.ipv6.conf." NS_DEVICE ".disable_ipv6 is 1 in the namespace", err))
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
	struct link_addr addr4 = { .addr = addr_from4(endpoint->addr4), .prefix = network->prefix4 };
	struct link_addr addr6 = { .prefix = network->prefix6, .flags = IFA_F_NODAD };
	struct nsbpf_addr gateway4 = addr_from4(network->gateway4);
	struct link device = { 0 };
	_cleanup_nl_ struct nl *nl = NULL;
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
	if (settle_ipv6(host, endpoint, &device, spec, err))
		return -1;
	addr4.ifindex = addr6.ifindex = device.ifindex;
	addr6.addr = endpoint->addr6;
	ret = configure_inside(nl, &addr4, &gateway4);
	if (!ret && !addr_is_any(&endpoint->addr6))
		ret = configure_inside(nl, &addr6, &network->gateway6);
	return ret ? fail_inside(endpoint, ret, err) : 0;
}

static int configure_host(struct host *host, unsigned int slot, const struct endpoint *endpoint,
			  const struct network *network, struct error *err)
{
	struct nsbpf_addr addr4 = addr_from4(endpoint->addr4), gateway4 = addr_from4(network->gateway4);
	int ret;

	ret = refuse_advertisements(endpoint, slot);
	if (!ret)
		ret = link_set_up(host->nl, endpoint->ifindex);
	if (!ret)
		ret = configure_outside(host, endpoint, &addr4, &gateway4);
	if (!ret && !addr_is_any(&endpoint->addr6))
		ret = network_add_route6(host, network); /* the host may not have had IPv6 when the network was made */
	if (!ret && !addr_is_any(&endpoint->addr6))
		ret = configure_outside(host, endpoint, &endpoint->addr6, &network->gateway6);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot configure the veth of %s: %s", endpoint->name, strerror(-ret));
	return 0;
}

static int write_resolv_conf(const struct endpoint *endpoint, struct endpoint_spec *spec, struct error *err)
{
	int ret;

	if (!(endpoint->flags & ENDPOINT_RESOLV_CONF))
		return 0;
	ret = spec->dns == DNS_HOST ? resolv_upstream(&spec->resolvers) : 0;
	if (!ret && !spec->resolvers.nservers)
		return 0;
	if (!ret)
		ret = resolv_remove(endpoint->name); /* one of ours, from before a reboot */
	if (!ret)
		ret = resolv_write(endpoint->name, &spec->resolvers);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot write /etc/netns/%s/resolv.conf: %s", endpoint->name,
			    strerror(-ret));
	return 0;
}

int endpoint_make(struct host *host, unsigned int slot, struct endpoint *endpoint, const struct network *network,
		  struct endpoint_spec *spec, struct error *err)
{
	_cleanup_close_ int ns_fd = open_namespace(endpoint, err);
	struct stat st;

	if (ns_fd < 0)
		return -1;
	if (fstat(ns_fd, &st))
		return fail(err, EXIT_SYSTEM, "cannot look at namespace %s: %s", endpoint->name, strerror(errno));
	endpoint->netns_ino = st.st_ino;
	if (endpoint_write(host, slot, endpoint, err) || write_resolv_conf(endpoint, spec, err) ||
	    make_veth(host, slot, endpoint, ns_fd, err) ||
	    datapath_attach(host, endpoint->ifindex, HOOK_FROM_ENDPOINT, err) ||
	    datapath_attach(host, endpoint->ifindex, HOOK_TO_ENDPOINT, err) ||
	    configure_namespace(host, endpoint, network, ns_fd, spec, err) ||
	    configure_host(host, slot, endpoint, network, err))
		return -1;
	endpoint->state = SLOT_READY;
	return endpoint_write(host, slot, endpoint, err);
}
