/* SPDX-License-Identifier: GPL-2.0-only */
/* Detaching and removing an endpoint. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "connections.h"
#include "datapath.h"
#include "endpoint_internal.h"
#include "mappings.h"
#include "netns.h"

/* A connection knows at most two endpoints: whose it is, and where its original packets go (hairpin). */
static bool is_of_endpoint(const struct conn *conn, const void *arg)
{
	const __u32 *slot = arg;

	return conn->endpoint == *slot || conn->targets[DIR_ORIGINAL] == *slot;
}

static int delete_veth(struct host *host, const struct endpoint *endpoint)
{
	struct link link;
	int ret;

	ret = endpoint->ifindex ? link_get_index(host->nl, endpoint->ifindex, &link) : -ENODEV;
	if (ret)
		return ret == -ENODEV ? 0 : ret;
	/* Killed before the alias was set, the device still has the name. */
	if (strncmp(link.alias, ENDPOINT_ALIAS, strlen(ENDPOINT_ALIAS)) && strncmp(link.name, "nsb", 3))
		return 0;
	ret = link_delete(host->nl, endpoint->ifindex);
	return ret == -ENODEV ? 0 : ret;
}

static int delete_namespace(const struct endpoint *endpoint)
{
	ino_t ino;
	int ret = netns_get(endpoint->name, &ino);

	if (ret == -ENOENT)
		return 0;
	/* Somebody else's by now; or, without an inode on record, one that we were killed over making. */
	if (!ret && endpoint->netns_ino && ino != endpoint->netns_ino)
		return 0;
	ret = netns_delete(endpoint->name);
	return ret == -ENOENT ? 0 : ret;
}

int endpoint_remove(struct host *host, unsigned int slot, struct endpoint *endpoint, bool keep, struct error *err)
{
	struct endpoint free_slot = { 0 };
	struct addr_pair addresses = endpoint_addresses(endpoint);
	__u32 key = slot;
	int ret;

	/* From here on no new packet finds it. */
	endpoint->state = SLOT_INCOMPLETE;
	if (endpoint_write(host, slot, endpoint, err) || mappings_delete_of_endpoint(host, slot, err))
		return -1;
	ret = endpoint_forget_address(host, &addresses.v4);
	if (!ret)
		ret = endpoint_forget_address(host, &addresses.v6);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot forget the addresses of %s: %s", endpoint->name, strerror(-ret));
	if (endpoint->ifindex) {
		ret = delete_veth(host, endpoint);
		if (!ret)
			ret = datapath_detach(host, endpoint->ifindex, HOOK_FROM_ENDPOINT, false);
		if (!ret)
			ret = datapath_detach(host, endpoint->ifindex, HOOK_TO_ENDPOINT, false);
		if (ret)
			return fail(err, EXIT_SYSTEM, "cannot remove the veth of %s: %s", endpoint->name,
				    strerror(-ret));
	}
	/* Removing a device waits for packets that are under way: none of them opens a connection behind our back. */
	ret = connections_end(host, is_of_endpoint, &key);
	if (ret < 0)
		return fail(err, EXIT_SYSTEM, "cannot end the connections of %s: %s", endpoint->name, strerror(-ret));
	if (endpoint->flags & ENDPOINT_RESOLV_CONF) {
		ret = resolv_remove(endpoint->name);
		if (ret)
			return fail(err, EXIT_SYSTEM, "cannot remove /etc/netns/%s/resolv.conf: %s", endpoint->name,
				    strerror(-ret));
	}
	if (!keep) {
		ret = delete_namespace(endpoint);
		if (ret)
			return fail(err, EXIT_SYSTEM, "cannot remove namespace %s: %s", endpoint->name, strerror(-ret));
	}
	return endpoint_write(host, slot, &free_slot, err);
}

int endpoint_delete(struct host *host, const char *name, bool keep, struct error *err)
{
	struct endpoint endpoint;
	int slot = host->running ? endpoint_find(host, name, &endpoint) : -1;

	if (slot < 0)
		return 0;
	return endpoint_remove(host, slot, &endpoint, keep, err) ? -1 : 1;
}
