/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf down: everything goes, the way it came, in reverse. */
#include <stdio.h>
#include <unistd.h>

#include "command.h"
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

static int take_down(struct host *host, struct error *err)
{
	struct taking_down t = { host, err };

	if (host->running && (endpoint_each(host, remove_endpoint, &t) || network_each(host, remove_network, &t) ||
			      uplinks_delete_all(host, err)))
		return -1;
	return host_stop(host, err);
}

int cmd_down(int argc, char **argv)
{
	struct error err;
	struct host host;
	bool was_running;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("down takes no words");
	/* Maps that can't be opened leave nothing to go by but the pins: those go all the same. */
	ret = host_change(&host, &err);
	if (ret && host.lock < 0) {
		host_close(&host);
		return report(&err);
	}
	was_running = ret || host.running;
	ret = take_down(&host, &err);
	host_close(&host);
	if (ret)
		return report(&err);
	return was_running ? EXIT_DONE : report_unchanged();
}
