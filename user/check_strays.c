/* SPDX-License-Identifier: GPL-2.0-only */
/* What bears nsbpf's marks and is on no record: left by a command that was killed, or the records were removed. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check_internal.h"
#include "map_walk.h"
#include "pins.h"

static int stray_link(const struct link *link, void *arg)
{
	unsigned int slot = link->ifindex - NSBPF_IFINDEX_BASE;
	struct check *check = arg;
	struct endpoint endpoint;
	char what[CHECK_TEXT];

	if (strncmp(link->alias, ENDPOINT_ALIAS, strlen(ENDPOINT_ALIAS)))
		return 0;
	if (check->host->running && !endpoint_get(check->host, slot, &endpoint))
		return 0;
	snprintf(what, sizeof(what), "device %s", link->name);
	if (check_differs(check, what, "gone", "of no endpoint on record"))
		check_outcome(check, link_delete(check->host->nl, link->ifindex));
	return 0;
}

static int match_subnet(unsigned int slot, const struct network *network, void *arg)
{
	const struct cidr *wanted = arg;
	struct cidr v4 = network_subnet4(network), v6 = network_subnet6(network);
	const struct cidr *own = addr_is4(&wanted->addr) ? &v4 : &v6;

	(void)slot;
	return own->prefix == wanted->prefix && addr_equal(&own->addr, &wanted->addr);
}

static int stray_route(const struct route *route, void *arg)
{
	struct cidr subnet = { route->dst, addr_is4(&route->dst) ? route->prefix + 96 : route->prefix };
	char what[CHECK_TEXT], text[CIDR_TEXT];
	struct check *check = arg;

	if (route->protocol != ROUTE_PROTOCOL ||
	    (check->host->running && network_each(check->host, match_subnet, &subnet)))
		return 0;
	snprintf(what, sizeof(what), "unreachable route %s", cidr_format(&subnet, text));
	if (check_differs(check, what, "gone", "of no network on record"))
		check_outcome(check, route_delete(check->host->nl, route));
	return 0;
}

static int match_gateway6(unsigned int slot, const struct network *network, void *arg)
{
	(void)slot;
	return addr_equal(&network->gateway6, arg);
}

static int stray_address(const struct link_addr *addr, void *arg)
{
	char what[CHECK_TEXT], text[ADDR_TEXT];
	struct nsbpf_addr copy = addr->addr;
	struct check *check = arg;

	if (addr->proto != ROUTE_PROTOCOL || (check->host->running && network_each(check->host, match_gateway6, &copy)))
		return 0;
	snprintf(what, sizeof(what), "address %s on lo", addr_format(&addr->addr, text));
	if (check_differs(check, what, "gone", "of no network on record"))
		check_outcome(check, addr_delete(check->host->nl, addr));
	return 0;
}

/* An entry of the map by which the datapath finds endpoints. */
static int stray_entry(const void *key, const void *value, void *arg)
{
	const struct nsbpf_addr *addr = key;
	const __u32 *slot = value;
	char what[CHECK_TEXT], text[ADDR_TEXT];
	struct check *check = arg;
	struct endpoint endpoint;

	if (!endpoint_get(check->host, *slot, &endpoint)) {
		struct addr_pair own = endpoint_addresses(&endpoint);

		if (addr_equal(&own.v4, addr) || addr_equal(&own.v6, addr))
			return 0;
	}
	snprintf(what, sizeof(what), "address %s in the datapath", addr_format(addr, text));
	if (check_differs(check, what, "gone", "of no endpoint on record"))
		check_outcome(check, endpoint_forget_address(check->host, addr));
	return 0;
}

/* Where a killed command was loading or removing; the next one that does either removes it. */
static void stray_directory(struct check *check, const char *suffix)
{
	char path[PATH_MAX + 8], what[CHECK_TEXT];

	snprintf(path, sizeof(path), "%s%s", check->host->dir, suffix);
	if (!check->host->top[0] || access(path, F_OK))
		return;
	snprintf(what, sizeof(what), "%016llx%s in bpffs", check->host->cookie, suffix);
	if (check_differs(check, what, "gone", "left by a command that was killed"))
		check_outcome(check, pins_remove(path) ? -errno : 0);
}

int check_strays(struct check *check, struct error *err)
{
	struct nl *nl = check->host->nl;
	int ret;

	check_object(check, "host");
	if (!check->host->running)
		stray_directory(check, "-new");
	stray_directory(check, "-old");
	ret = link_each(nl, stray_link, check);
	if (!ret)
		ret = route_each(nl, AF_INET, RTN_UNREACHABLE, stray_route, check);
	if (!ret)
		ret = route_each(nl, AF_INET6, RTN_UNREACHABLE, stray_route, check);
	if (!ret)
		ret = addr_each(nl, LOOPBACK_IFINDEX, stray_address, check);
	if (!ret && check->host->running)
		ret = map_walk(check->host->maps[MAP_ADDRESSES], sizeof(struct nsbpf_addr), sizeof(__u32), stray_entry,
			       check);
	return ret ? fail(err, EXIT_SYSTEM, "cannot look for what is left: %s", strerror(-ret)) : 0;
}
