/* SPDX-License-Identifier: GPL-2.0-only */
/* Finding endpoints and telling how they are. Making and removing them: endpoint_add.c, endpoint_delete.c. */
#include "endpoints.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>

#include "cleanup.h"
#include "netns.h"

int endpoint_get(const struct host *host, unsigned int slot, struct endpoint *endpoint)
{
	if (slot >= NSBPF_MAX_ENDPOINTS || host->endpoints[slot].state == SLOT_FREE)
		return -ENOENT;
	*endpoint = host->endpoints[slot];
	return 0;
}

int endpoint_each(const struct host *host, int (*each)(unsigned int slot, const struct endpoint *, void *arg),
		  void *arg)
{
	struct endpoint endpoint;
	int ret = 0;

	for (unsigned int slot = 1; slot < NSBPF_MAX_ENDPOINTS && !ret; slot++)
		if (!endpoint_get(host, slot, &endpoint))
			ret = each(slot, &endpoint, arg);
	return ret;
}

size_t endpoint_count(const struct host *host)
{
	size_t count = 0;

	for (unsigned int slot = 1; slot < NSBPF_MAX_ENDPOINTS; slot++)
		count += host->endpoints[slot].state != SLOT_FREE;
	return count;
}

int endpoint_find(const struct host *host, const char *name, struct endpoint *endpoint)
{
	for (unsigned int slot = 1; slot < NSBPF_MAX_ENDPOINTS; slot++)
		if (!endpoint_get(host, slot, endpoint) && !strcmp(endpoint->name, name))
			return slot;
	return -1;
}

int endpoint_find_in_network(const struct host *host, unsigned int network, struct endpoint *endpoint)
{
	for (unsigned int slot = 1; slot < NSBPF_MAX_ENDPOINTS; slot++)
		if (!endpoint_get(host, slot, endpoint) && endpoint->network == network)
			return slot;
	return -1;
}

int endpoint_require(const struct host *host, const char *name, struct endpoint *endpoint, struct error *err)
{
	int slot = host->running ? endpoint_find(host, name, endpoint) : -1;

	if (slot < 0)
		return fail(err, EXIT_MISSING, "no endpoint %s (`nsbpf add` makes one)", name);
	switch (endpoint_condition(host, endpoint)) {
	case ENDPOINT_UP:
		return slot;
	case ENDPOINT_INCOMPLETE:
		return fail(err, EXIT_SYSTEM,
			    "endpoint %s is incomplete: a command was interrupted; repeat `nsbpf add %s`", name, name);
	default:
		return fail(err, EXIT_SYSTEM, "the namespace of endpoint %s is gone; `nsbpf del %s` or `nsbpf add %s`",
			    name, name, name);
	}
}

enum endpoint_condition endpoint_condition(const struct host *host, const struct endpoint *endpoint)
{
	ino_t ino;

	if (endpoint->state != SLOT_READY)
		return ENDPOINT_INCOMPLETE;
	if (netns_get(endpoint->name, &ino) || ino != endpoint->netns_ino || link_exists(host->nl, endpoint->ifindex))
		return ENDPOINT_GONE;
	return ENDPOINT_UP;
}

struct addr_pair endpoint_addresses(const struct endpoint *endpoint)
{
	return (struct addr_pair){ .v4 = addr_from4(endpoint->addr4), .v6 = endpoint->addr6 };
}

void endpoint_device(const struct endpoint *endpoint, unsigned int slot, char name[IFNAMSIZ])
{
	if (snprintf(name, IFNAMSIZ, "nsb-%s", endpoint->name) >= IFNAMSIZ)
		snprintf(name, IFNAMSIZ, "nsb%u", slot);
}

int endpoint_stats(const struct host *host, unsigned int slot, struct endpoint_stats *stats)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct endpoint_stats *each = NULL;
	struct endpoint_stats sum = { 0 };

	if (cpus < 0)
		return cpus;
	each = calloc(cpus, sizeof(*each));
	if (!each)
		return -ENOMEM;
	if (bpf_map_lookup_elem(host->maps[MAP_ENDPOINT_STATS], &slot, each))
		return -errno;
	for (int cpu = 0; cpu < cpus; cpu++) {
		sum.rx_packets += each[cpu].rx_packets;
		sum.rx_bytes += each[cpu].rx_bytes;
		sum.tx_packets += each[cpu].tx_packets;
		sum.tx_bytes += each[cpu].tx_bytes;
		sum.drops += each[cpu].drops;
	}
	*stats = sum;
	return 0;
}

int endpoint_reset_stats(const struct host *host, unsigned int slot)
{
	int cpus = libbpf_num_possible_cpus();
	_cleanup_free_ struct endpoint_stats *zero = NULL;

	if (cpus < 0)
		return cpus;
	zero = calloc(cpus, sizeof(*zero));
	if (!zero)
		return -ENOMEM;
	return bpf_map_update_elem(host->maps[MAP_ENDPOINT_STATS], &slot, zero, BPF_ANY) ? -errno : 0;
}
