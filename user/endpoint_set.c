/* SPDX-License-Identifier: GPL-2.0-only */
/* Changing an endpoint while it is up. */
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "endpoint_internal.h"

static int set_mtu_inside(const struct endpoint *endpoint, unsigned int mtu)
{
	_cleanup_nl_ struct nl *nl = NULL;
	struct link device;
	int ret;

	ret = endpoint_open_inside(endpoint, &nl, &device);
	return ret ? ret : link_set_mtu(nl, device.ifindex, mtu);
}

/* Of both ends, or of none. */
static int set_mtu(struct host *host, struct endpoint *endpoint, unsigned int mtu, struct error *err)
{
	int ret = link_set_mtu(host->nl, endpoint->ifindex, mtu);

	if (!ret) {
		ret = set_mtu_inside(endpoint, mtu);
		if (ret)
			link_set_mtu(host->nl, endpoint->ifindex, endpoint->mtu);
	}
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot set the MTU of %s: %s", endpoint->name, strerror(-ret));
	endpoint->mtu = mtu;
	return 1;
}

/* What somebody else wrote stays. 1 if done. */
static int set_dns(struct endpoint *endpoint, struct endpoint_spec *spec, struct error *err)
{
	int ret;

	if (resolv_is_foreign(endpoint->name))
		return 0;
	ret = resolv_remove(endpoint->name);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot remove /etc/netns/%s/resolv.conf: %s", endpoint->name,
			    strerror(-ret));
	endpoint->flags &= ~ENDPOINT_RESOLV_CONF;
	if (spec->dns != DNS_NONE)
		endpoint->flags |= ENDPOINT_RESOLV_CONF;
	return endpoint_write_resolv_conf(endpoint, spec, err) ? -1 : 1;
}

int endpoint_set(struct host *host, struct endpoint_spec *spec, bool dns, struct error *err)
{
	struct error unseen;
	struct endpoint endpoint;
	int slot = endpoint_require(host, spec->name, &endpoint, err), changed = 0, ret;

	if (slot < 0)
		return -1;
	if (spec->max_connections && *spec->max_connections != endpoint.max_connections) {
		endpoint.max_connections = *spec->max_connections;
		changed = 1;
	}
	if (spec->mtu && *spec->mtu != endpoint.mtu) {
		if (set_mtu(host, &endpoint, *spec->mtu, err) < 0)
			return -1;
		changed = 1;
	}
	ret = dns ? set_dns(&endpoint, spec, err) : 0;
	if (ret < 0)
		err = &unseen; /* it is the one to report; whatever the resolvers' fate was, the rest is so now */
	if ((changed || ret) && endpoint_write(host, slot, &endpoint, err))
		return -1;
	return ret < 0 ? -1 : changed || ret;
}
