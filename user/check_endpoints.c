/* SPDX-License-Identifier: GPL-2.0-only */
/* Endpoints: record, device, programs, and the ways to them on the host. What is inside: check_namespace.c. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "check_internal.h"
#include "cleanup.h"
#include "datapath.h"
#include "ipv6.h"
#include "netns.h"
#include "sysctl.h"

/* The host's routes to endpoints, from one walk over all there are: by slot. */
struct host_routes {
	struct host *host;
	struct {
		bool v4, v6;
	} right[NSBPF_MAX_ENDPOINTS];
};

struct checking {
	struct check *check;
	struct host_routes *routes;
};

static bool is_route(const struct route *found, const struct route *wanted)
{
	return found->prefix == wanted->prefix && found->type == wanted->type && found->table == wanted->table &&
	       addr_equal(&found->dst, &wanted->dst) && addr_equal(&found->prefsrc, &wanted->prefsrc) &&
	       addr_is_any(&found->gateway);
}

static int note_route(const struct route *route, void *arg)
{
	unsigned int slot = route->ifindex - NSBPF_IFINDEX_BASE;
	int family = addr_is4(&route->dst) ? AF_INET : AF_INET6;
	struct host_routes *routes = arg;
	struct endpoint endpoint;
	struct network network;
	struct ways ways;

	if (slot >= NSBPF_MAX_ENDPOINTS || endpoint_get(routes->host, slot, &endpoint) ||
	    network_get(routes->host, endpoint.network, &network) ||
	    !endpoint_ways(&endpoint, &network, family, &ways) || !is_route(route, &ways.outside))
		return 0;
	if (family == AF_INET)
		routes->right[slot].v4 = true;
	else
		routes->right[slot].v6 = true;
	return 0;
}

static int match_neigh(const struct neigh *neigh, void *arg)
{
	const struct neigh *wanted = arg;

	return neigh->state & NUD_PERMANENT && addr_equal(&neigh->addr, &wanted->addr) &&
	       !memcmp(neigh->mac, wanted->mac, sizeof(neigh->mac));
}

int check_match_addr(const struct link_addr *addr, void *arg)
{
	const struct link_addr *wanted = arg;

	return addr->prefix == wanted->prefix && addr_equal(&addr->addr, &wanted->addr);
}

static void check_neigh(struct check *check, const struct endpoint *endpoint, const struct nsbpf_addr *addr)
{
	struct neigh wanted = { .addr = *addr };
	char what[CHECK_TEXT], text[ADDR_TEXT], mac[MAC_TEXT];

	memcpy(wanted.mac, endpoint->mac, sizeof(wanted.mac));
	if (neigh_each(check->host->nl, endpoint->ifindex, match_neigh, &wanted))
		return;
	snprintf(what, sizeof(what), "neighbour %s on the host", addr_format(addr, text));
	if (check_differs(check, what, mac_format(endpoint->mac, mac), "missing or another"))
		check_outcome(check, neigh_set(check->host->nl, endpoint->ifindex, addr, endpoint->mac));
}

static void check_gateway4(struct check *check, const struct link_addr *gateway)
{
	struct link_addr wanted = *gateway;
	char what[CHECK_TEXT], text[ADDR_TEXT];

	if (addr_each(check->host->nl, gateway->ifindex, check_match_addr, &wanted))
		return;
	snprintf(what, sizeof(what), "gateway %s on its device", addr_format(&gateway->addr, text));
	if (check_differs(check, what, "there", "missing"))
		check_outcome(check, addr_add(check->host->nl, gateway, true));
}

/* The way to it in one family: the datapath's map, the host's route and neighbour. */
static void check_way(struct check *check, unsigned int slot, const struct endpoint *endpoint, const struct ways *ways,
		      bool has_route)
{
	const struct nsbpf_addr *addr = &ways->address.addr;
	char what[CHECK_TEXT], text[ADDR_TEXT];
	__u32 found = 0;

	addr_format(addr, text);
	if (bpf_map_lookup_elem(check->host->maps[MAP_ADDRESSES], addr, &found) || found != slot) {
		snprintf(what, sizeof(what), "address %s in the datapath", text);
		if (check_differs(check, what, "its own", found ? "another endpoint's" : "nobody's"))
			check_outcome(check, endpoint_note_address(check->host, slot, addr));
	}
	if (!has_route) {
		snprintf(what, sizeof(what), "route to %s on the host", text);
		if (check_differs(check, what, "by its device", "missing or another"))
			check_outcome(check, route_add(check->host->nl, &ways->outside));
	}
	check_neigh(check, endpoint, addr);
}

static void check_ways(struct checking *c, unsigned int slot, const struct endpoint *endpoint,
		       const struct network *network)
{
	struct ways ways;

	if (endpoint_ways(endpoint, network, AF_INET, &ways)) {
		check_gateway4(c->check, &ways.gateway);
		check_way(c->check, slot, endpoint, &ways, c->routes->right[slot].v4);
	}
	/* Switched off on the host since: `add` says so, and refresh() mends it when it is on again. */
	if (endpoint_ways(endpoint, network, AF_INET6, &ways) && !ipv6_missing())
		check_way(c->check, slot, endpoint, &ways, c->routes->right[slot].v6);
}

static void check_program(struct check *check, const struct link *link, enum hook hook, const char *name)
{
	char what[CHECK_TEXT];
	struct error err;

	if (datapath_is_attached(check->host, link->ifindex, hook))
		return;
	snprintf(what, sizeof(what), "program %s on %s", name, link->name);
	if (check_differs(check, what, "attached", "missing or replaced"))
		check_outcome_of(check, datapath_attach(check->host, link->ifindex, hook, &err), &err);
}

struct hooked {
	struct check *check;
	const char *device;
};

static int note_other(const char *text, void *arg)
{
	const struct hooked *hooked = arg;
	char what[CHECK_TEXT];

	snprintf(what, sizeof(what), "programs on %s", hooked->device);
	check_differs(hooked->check, what, "none before ours", "%s", text);
	check_advise(hooked->check, "whose it is, `bpftool net` and `tc filter show dev %s` tell", hooked->device);
	return 0;
}

/* Nobody else has anything to do on a host veth. (On an uplink others may: `doctor` names them.) */
static void check_others(struct check *check, const struct link *link, enum hook hook)
{
	datapath_others_before(check->host, link->ifindex, hook, note_other, &(struct hooked){ check, link->name });
}

/* What the kernel would do with its packets if from_endpoint were missing: no forwarding, no router advertisements. */
static void check_sysctls(struct check *check, unsigned int slot, const struct endpoint *endpoint,
			  const struct link *link)
{
	char path[SYSCTL_PATH];
	int value;

	snprintf(path, sizeof(path), "net/ipv4/conf/%s/forwarding", link->name);
	if (!sysctl_read(path, &value) && value && check_differs(check, path, "0", "%d", value))
		check_outcome(check, link_set_forwarding(check->host->nl, link->ifindex, false));
	snprintf(path, sizeof(path), "net/ipv6/conf/%s/accept_ra", link->name);
	if (!sysctl_read(path, &value) && value && check_differs(check, path, "0", "%d", value))
		check_outcome(check, endpoint_refuse_advertisements(endpoint, slot));
}

void check_device(struct check *check, struct nl *nl, const struct link *link, const unsigned char mac[6],
		  unsigned int mtu)
{
	char what[CHECK_TEXT], text[MAC_TEXT], number[16];

	if (memcmp(link->mac, mac, sizeof(link->mac))) {
		char is[MAC_TEXT];

		snprintf(what, sizeof(what), "MAC of %s", link->name);
		if (check_differs(check, what, mac_format(mac, text), "%s", mac_format(link->mac, is)))
			check_outcome(check, link_set_mac(nl, link->ifindex, mac));
	}
	if (link->mtu != mtu) {
		snprintf(what, sizeof(what), "MTU of %s", link->name);
		snprintf(number, sizeof(number), "%u", mtu);
		if (check_differs(check, what, number, "%u", link->mtu))
			check_outcome(check, link_set_mtu(nl, link->ifindex, mtu));
	}
	if (!(link->flags & IFF_UP)) {
		snprintf(what, sizeof(what), "device %s", link->name);
		if (check_differs(check, what, "up", "down"))
			check_outcome(check, link_set_up(nl, link->ifindex));
	}
}

/* The namespace is there; its veth may have been deleted. */
static int require_device(struct check *check, unsigned int slot, const struct endpoint *endpoint, int ns_fd,
			  struct link *link)
{
	char what[CHECK_TEXT], device[IFNAMSIZ];
	struct error err;
	int ret;

	if (!link_get_index(check->host->nl, endpoint->ifindex, link))
		return 0;
	endpoint_device(endpoint, slot, device);
	snprintf(what, sizeof(what), "device %s", device);
	if (!check_differs(check, what, "there", "gone"))
		return -ENODEV;
	ret = endpoint_make_veth(check->host, slot, endpoint, ns_fd, &err);
	check_outcome_of(check, ret, &err);
	return ret ? -ENODEV : link_get_index(check->host->nl, endpoint->ifindex, link);
}

/* Is the namespace there that is on record? A descriptor of it, or -1. */
static int open_namespace(struct check *check, const struct endpoint *endpoint)
{
	ino_t ino;
	int ret = netns_get(endpoint->name, &ino);

	if (ret)
		check_differs(check, "namespace", "there", "gone");
	else if (ino != endpoint->netns_ino)
		check_differs(check, "namespace", "the one that was attached", "another of that name");
	else
		return netns_open(endpoint->name);
	check_advise(check, "`nsbpf add %s` makes it anew, `nsbpf del %s` forgets it", endpoint->name, endpoint->name);
	return -1;
}

static int check_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct checking *c = arg;
	struct check *check = c->check;
	_cleanup_close_ int ns_fd = -1;
	struct network network;
	struct link link;

	check_object(check, "endpoint %s", endpoint->name);
	check->looked_at.endpoints++;
	if (endpoint->state != SLOT_READY || network_get(check->host, endpoint->network, &network)) {
		check_differs(check, "record", "complete", "of a command that was interrupted");
		check_advise(check, "`nsbpf add %s` or `nsbpf del %s` finishes it", endpoint->name, endpoint->name);
		return 0;
	}
	ns_fd = open_namespace(check, endpoint);
	if (ns_fd < 0 || require_device(check, slot, endpoint, ns_fd, &link))
		return 0;
	check_program(check, &link, HOOK_FROM_ENDPOINT, "from_endpoint");
	check_program(check, &link, HOOK_TO_ENDPOINT, "to_endpoint");
	check_others(check, &link, HOOK_FROM_ENDPOINT);
	check_others(check, &link, HOOK_TO_ENDPOINT);
	check_sysctls(check, slot, endpoint, &link);
	check_device(check, check->host->nl, &link, endpoint->gateway_mac, endpoint->mtu);
	check_namespace(check, endpoint, &network, ns_fd);
	check_ways(c, slot, endpoint, &network);
	return 0;
}

int check_endpoints(struct check *check, struct error *err)
{
	_cleanup_free_ struct host_routes *routes = calloc(1, sizeof(*routes));
	struct checking c = { check, routes };
	int ret = routes ? 0 : -ENOMEM;

	if (!ret) {
		routes->host = check->host;
		ret = route_each(check->host->nl, AF_INET, RTN_UNICAST, note_route, routes);
	}
	if (!ret)
		ret = route_each(check->host->nl, AF_INET6, RTN_UNICAST, note_route, routes);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot list routes: %s", strerror(-ret));
	return endpoint_each(check->host, check_endpoint, &c);
}
