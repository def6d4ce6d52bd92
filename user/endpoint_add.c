/* SPDX-License-Identifier: GPL-2.0-only */
/* Adding an endpoint: the record first, marked incomplete, so that whatever exists is known if we are killed. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "endpoint_internal.h"
#include "host_maps.h"
#include "netns.h"
#include "networks.h"

/* Locally administered; the same for every host veth, as no two of them share a link. */
static const unsigned char gateway_mac[6] = { 0x02, 0x6e, 0x73, 0x62, 0x70, 0x66 };

static bool resolvers_match(const struct endpoint *endpoint, const struct endpoint_spec *spec)
{
	if (spec->dns == DNS_NONE)
		return !(endpoint->flags & ENDPOINT_RESOLV_CONF);
	/* Whatever the host has by now: nobody asked for it to be fetched again. */
	if (spec->dns == DNS_HOST || !(endpoint->flags & ENDPOINT_RESOLV_CONF))
		return true;
	return resolv_matches(endpoint->name, &spec->resolvers);
}

/* Does what was asked for agree with what is there? */
static bool matches(const struct endpoint *endpoint, const struct network *network, const struct endpoint_spec *spec)
{
	return (!spec->network || !strcmp(spec->network, network->name)) &&
	       (addr_is_any(&spec->ip.v4) || addr_to4(&spec->ip.v4) == endpoint->addr4) &&
	       (addr_is_any(&spec->ip.v6) || addr_equal(&spec->ip.v6, &endpoint->addr6)) &&
	       (!spec->mac || !memcmp(spec->mac, endpoint->mac, 6)) && (!spec->mtu || *spec->mtu == endpoint->mtu) &&
	       (!spec->max_connections || *spec->max_connections == endpoint->max_connections) &&
	       resolvers_match(endpoint, spec);
}

/* The device's number is the slot's, and so are connections and NAT ports, of which the last may end a little later:
 * all have to be free. */
static int find_free_slot(const struct host *host)
{
	struct endpoint endpoint;

	for (unsigned int slot = 1; slot < NSBPF_MAX_ENDPOINTS; slot++)
		if (endpoint_get(host, slot, &endpoint) && !host->usage[slot].connections && !host->usage[slot].ports &&
		    link_exists(host->nl, NSBPF_IFINDEX_BASE + slot) == -ENODEV)
			return slot;
	return -1;
}

struct elsewhere {
	const char *own_dir;
	ino_t ino;
};

/* Is the namespace an endpoint of this other host? */
static int has_namespace(const char *dir, void *arg)
{
	const struct elsewhere *wanted = arg;
	_cleanup_close_ int map = -1;
	const struct endpoint *endpoints;
	char path[PATH_MAX];
	int found = 0;

	if (!strcmp(dir, wanted->own_dir) || snprintf(path, sizeof(path), "%s/maps/endpoints", dir) >= PATH_MAX)
		return 0;
	map = bpf_obj_get(path);
	endpoints = map < 0 ? NULL : map_memory(map, ENDPOINTS_SIZE, false);
	if (!endpoints)
		return 0;
	for (unsigned int slot = 1; slot < NSBPF_MAX_ENDPOINTS && !found; slot++)
		found = endpoints[slot].state != SLOT_FREE && endpoints[slot].netns_ino == wanted->ino;
	munmap((void *)endpoints, ENDPOINTS_SIZE);
	return found;
}

/* A namespace of that name exists: may it become our endpoint? */
static int check_adoption(const struct host *host, const char *name, ino_t ino, struct error *err)
{
	struct elsewhere elsewhere = { .own_dir = host->dir, .ino = ino };
	struct stat own;

	if (!stat("/proc/thread-self/ns/net", &own) && own.st_ino == ino)
		return fail(err, EXIT_CONFLICT, "namespace %s is this host itself", name);
	if (host_each_dir(host, has_namespace, &elsewhere) > 0)
		return fail(err, EXIT_CONFLICT, "namespace %s is an endpoint of another host", name);
	return 0;
}

/* Flags of the record, before anything is made: what will not be ours to remove. */
static int survey(const struct host *host, const struct endpoint_spec *spec, struct endpoint *endpoint,
		  struct error *err)
{
	ino_t ino;
	int ret = netns_get(spec->name, &ino);

	if (!ret) {
		if (check_adoption(host, spec->name, ino, err))
			return -1;
		endpoint->flags |= ENDPOINT_ADOPTED;
	} else if (ret != -ENOENT && ret != -EINVAL) {
		return fail(err, EXIT_SYSTEM, "cannot look at namespace %s: %s", spec->name, strerror(-ret));
	}
	if (spec->dns != DNS_NONE && !resolv_is_foreign(spec->name))
		endpoint->flags |= ENDPOINT_RESOLV_CONF;
	return 0;
}

/* Record and address, before anything else exists; the datapath takes neither for an endpoint yet. */
static int reserve(struct host *host, __u32 slot, const struct endpoint *endpoint, struct error *err)
{
	struct addr_pair addresses = endpoint_addresses(endpoint);
	int ret;

	if (endpoint_write(host, slot, endpoint, err))
		return -1;
	ret = endpoint_note_address(host, slot, &addresses.v4);
	if (!ret)
		ret = endpoint_note_address(host, slot, &addresses.v6);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot note the addresses of %s: %s", endpoint->name, strerror(-ret));
	ret = endpoint_reset_stats(host, slot);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot reset the counters of %s: %s", endpoint->name, strerror(-ret));
	return 0;
}

/* The new endpoint's record. */
static int plan(const struct host *host, struct endpoint_spec *spec, struct endpoint *endpoint, struct network *network,
		struct error *err)
{
	int slot = network_find(host, spec->network, network);

	endpoint->network = slot;
	endpoint->state = SLOT_INCOMPLETE;
	strcpy(endpoint->name, spec->name);
	endpoint->mtu = spec->mtu ? *spec->mtu : network_mtu(host, network);
	if (endpoint_choose_addresses(host, network, spec, endpoint, err))
		return -1;
	endpoint->mac[0] = 0x02;
	endpoint->mac[1] = 0x6e;
	memcpy(endpoint->mac + 2, &endpoint->addr4, 4);
	if (spec->mac)
		memcpy(endpoint->mac, spec->mac, 6);
	memcpy(endpoint->gateway_mac, gateway_mac, 6);
	endpoint->max_connections = spec->max_connections ? *spec->max_connections : 0;
	return 0;
}

/* An endpoint of that name is up: is it what was asked for? */
static int settle_existing(struct host *host, const struct endpoint_spec *spec, const struct endpoint *endpoint,
			   struct error *err)
{
	struct network network;

	if (!network_get(host, endpoint->network, &network) && matches(endpoint, &network, spec))
		return endpoint_mend(host, endpoint, &network, err);
	return fail(err, EXIT_CONFLICT, "endpoint %s exists with other settings (see `nsbpf list`)", spec->name);
}

void endpoint_inherit(const struct host *host, const struct endpoint *old, struct endpoint_inherited *in,
		      struct endpoint_spec *spec)
{
	if (network_get(host, old->network, &in->network))
		return;
	if (!spec->network)
		spec->network = in->network.name;
	else if (strcmp(spec->network, in->network.name))
		return;
	in->mtu = old->mtu;
	in->max_connections = old->max_connections;
	memcpy(in->mac, old->mac, sizeof(in->mac));
	if (addr_is_any(&spec->ip.v4)) {
		spec->ip.v4 = addr_from4(old->addr4);
		if (!spec->mac)
			spec->mac = in->mac;
	}
	if (addr_is_any(&spec->ip.v6))
		spec->ip.v6 = old->addr6;
	if (!spec->mtu)
		spec->mtu = &in->mtu;
	if (!spec->max_connections)
		spec->max_connections = &in->max_connections;
}

int endpoint_add(struct host *host, struct endpoint_spec *spec, struct endpoint *endpoint, struct error *err)
{
	struct endpoint_inherited inherited;
	struct network network;
	int slot;

	slot = endpoint_find(host, spec->name, endpoint);
	if (slot >= 0) {
		endpoint_inherit(host, endpoint, &inherited, spec);
		if (endpoint_condition(host, endpoint) == ENDPOINT_UP)
			return settle_existing(host, spec, endpoint, err);
		if (endpoint_remove(host, slot, endpoint, endpoint->flags & ENDPOINT_ADOPTED, err))
			return -1;
	}
	if (!spec->network)
		spec->network = NETWORK_DEFAULT;
	if (network_require(host, spec->network, &network, err) < 0)
		return -1;
	memset(endpoint, 0, sizeof(*endpoint));
	if (plan(host, spec, endpoint, &network, err) || survey(host, spec, endpoint, err))
		return -1;
	slot = find_free_slot(host);
	if (slot < 0)
		return fail(err, EXIT_SYSTEM, "there is room for %d endpoints only", NSBPF_MAX_ENDPOINTS - 1);
	endpoint->ifindex = NSBPF_IFINDEX_BASE + slot;
	if (reserve(host, slot, endpoint, err))
		return -1;
	if (endpoint_make(host, slot, endpoint, &network, spec, err)) {
		endpoint_remove(host, slot, endpoint, endpoint->flags & ENDPOINT_ADOPTED, &(struct error){ 0 });
		return -1;
	}
	return 1;
}
