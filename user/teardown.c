/* SPDX-License-Identifier: GPL-2.0-only */
/* Taking a host down. */
#include "teardown.h"

#include "endpoint_internal.h"
#include "networks.h"
#include "uplinks.h"

struct taking_down {
	struct host *host;
	struct error *err;
};

/* A namespace that was there before us is there after us. */
static int remove_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct taking_down *t = arg;
	struct endpoint copy = *endpoint;

	return endpoint_remove(t->host, slot, &copy, copy.flags & ENDPOINT_ADOPTED, t->err);
}

static int remove_network(unsigned int slot, const struct network *network, void *arg)
{
	struct taking_down *t = arg;

	(void)slot;
	return network_delete(t->host, network->name, t->err) < 0 ? -1 : 0;
}

int host_take_down(struct host *host, struct error *err)
{
	struct taking_down t = { host, err };

	if (host->running && (endpoint_each(host, remove_endpoint, &t) || network_each(host, remove_network, &t) ||
			      uplinks_delete_all(host, err)))
		return -1;
	return host_stop(host, err);
}

void host_finish(struct host *host, bool failed)
{
	/* The command's own error is the one to report: what can't be taken down now, `down` will try again. */
	if (failed && host->started)
		host_take_down(host, &(struct error){ 0 });
	host_close(host);
}
