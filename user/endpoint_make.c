/* SPDX-License-Identifier: GPL-2.0-only */
/* Making what an endpoint consists of: namespace, veth, programs, resolv.conf. Its record is there already. */
#include <bpf/bpf.h>
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "datapath.h"
#include "endpoint_internal.h"
#include "netns.h"

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

int endpoint_make_veth(struct host *host, unsigned int slot, const struct endpoint *endpoint, int ns_fd,
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

int endpoint_write_resolv_conf(const struct endpoint *endpoint, struct endpoint_spec *spec, struct error *err)
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
	if (endpoint_write(host, slot, endpoint, err) || endpoint_write_resolv_conf(endpoint, spec, err) ||
	    endpoint_make_veth(host, slot, endpoint, ns_fd, err) ||
	    datapath_attach(host, endpoint->ifindex, HOOK_FROM_ENDPOINT, err) ||
	    datapath_attach(host, endpoint->ifindex, HOOK_TO_ENDPOINT, err) ||
	    endpoint_configure(host, slot, endpoint, network, ns_fd, spec, err))
		return -1;
	endpoint->state = SLOT_READY;
	return endpoint_write(host, slot, endpoint, err);
}
