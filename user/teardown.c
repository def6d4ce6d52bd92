/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking a host down. */
#include "teardown.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>

#include "endpoint_internal.h"
#include "networks.h"
#include "terminal.h"
#include "uplinks.h"

struct taking_down {
	struct host *host;
	struct error *err;
	struct progress progress;
	size_t removed; /* endpoints */
	bool swept;     /* something that no record named */
};

/* A namespace that was there before us is there after us. */
static int remove_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct taking_down *t = arg;
	struct endpoint copy = *endpoint;

	progress_at(&t->progress, t->removed++);
	return endpoint_remove(t->host, slot, &copy, copy.flags & ENDPOINT_ADOPTED, t->err);
}

static int remove_endpoints(struct taking_down *t)
{
	int ret;

	progress_begin(&t->progress, "removing endpoints", endpoint_count(t->host));
	ret = endpoint_each(t->host, remove_endpoint, t);
	progress_end(&t->progress);
	return ret;
}

static int remove_network(unsigned int slot, const struct network *network, void *arg)
{
	struct taking_down *t = arg;

	(void)slot;
	return network_delete(t->host, network->name, t->err) < 0 ? -1 : 0;
}

static int sweep_link(const struct link *link, void *arg)
{
	struct taking_down *t = arg;
	int ret;

	if (strncmp(link->alias, ENDPOINT_ALIAS, strlen(ENDPOINT_ALIAS)))
		return 0;
	ret = link_delete(t->host->nl, link->ifindex);
	t->swept = true;
	return ret == -ENODEV ? 0 : ret;
}

static int sweep_route(const struct route *route, void *arg)
{
	struct taking_down *t = arg;
	int ret;

	if (route->protocol != ROUTE_PROTOCOL)
		return 0;
	ret = route_delete(t->host->nl, route);
	t->swept = true;
	return ret == -ESRCH ? 0 : ret;
}

static int sweep_address(const struct link_addr *addr, void *arg)
{
	struct taking_down *t = arg;
	int ret;

	if (addr->proto != ROUTE_PROTOCOL)
		return 0;
	ret = addr_delete(t->host->nl, addr);
	t->swept = true;
	return ret == -EADDRNOTAVAIL ? 0 : ret;
}

/* What no record names any more, by the marks that we leave on devices, routes and addresses: somebody removed our
 * maps. */
static int sweep(struct taking_down *t)
{
	int ret = link_each(t->host->nl, sweep_link, t);

	if (!ret)
		ret = route_each(t->host->nl, AF_INET, RTN_UNREACHABLE, sweep_route, t);
	if (!ret)
		ret = route_each(t->host->nl, AF_INET6, RTN_UNREACHABLE, sweep_route, t);
	if (!ret)
		ret = addr_each(t->host->nl, LOOPBACK_IFINDEX, sweep_address, t);
	return ret ? fail(t->err, EXIT_SYSTEM, "cannot remove what is left: %s", strerror(-ret)) : 0;
}

int host_take_down(struct host *host, struct error *err)
{
	struct taking_down t = { .host = host, .err = err };
	bool was_there = host->running || host->damaged;

	if (host->running &&
	    (remove_endpoints(&t) || network_each(host, remove_network, &t) || uplinks_delete_all(host, err)))
		return -1;
	if (sweep(&t) || host_stop(host, err))
		return -1;
	return was_there || t.swept;
}

void host_finish(struct host *host, bool failed)
{
	/* The command's own error is the one to report: what can't be taken down now, `down` will try again. */
	if (failed && host->started)
		host_take_down(host, &(struct error){ 0 });
	host_close(host);
}
