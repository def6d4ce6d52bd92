/* SPDX-License-Identifier: GPL-2.0-only */
/* Networks: named groups of endpoints with a subnet and a gateway. */
#ifndef NSBPF_NETWORKS_H
#define NSBPF_NETWORKS_H

#include "addr.h"
#include "host.h"

#define NETWORK_DEFAULT "default"

/* RFC 4787 section 5's words. */
#define FILTERING_DEFAULT "address-and-port-dependent"
#define FILTERING_FULL_CONE "endpoint-independent"

#define MODE_NAT "nat"
#define MODE_ROUTED "routed"

/* Marks the networks' routes, `ip route show proto 78`, and their IPv6 gateway addresses. */
#define ROUTE_PROTOCOL 78

struct network_spec {
	const char *name;
	const struct cidr *subnet4;         /* NULL: one that overlaps no route of the host */
	const struct cidr *subnet6;         /* the same */
	struct addr_pair gateway;           /* all zero: the subnet's first address */
	const unsigned int *mtu;            /* NULL: not said; 0: the uplink's */
	const bool *isolate;                /* NULL: not said */
	const bool *full_cone;              /* NULL: not said */
	const __u8 *routed;                 /* NULL: not said; NETWORK_ROUTED4, NETWORK_ROUTED6, both or none */
	const struct addr_pair *masquerade; /* NULL: not said; all zero: as the host's route has it */
};

/* The slot, or -1. A network that is being made or removed is found, too. */
int network_find(const struct host *host, const char *name, struct network *network);
int network_get(const struct host *host, unsigned int slot,
		struct network *network); /* 0, or -ENOENT for a free slot */
int network_each(const struct host *host, int (*each)(unsigned int slot, const struct network *, void *arg), void *arg);

/* 1 if done, 0 if already so, -1 with err. */
int network_add(struct host *host, const struct network_spec *spec, struct error *err);
int network_set(struct host *host, const struct network_spec *spec, struct error *err);
/* Refused while it has endpoints. */
int network_delete(struct host *host, const char *name, struct error *err);

/* The slot of a ready network of that name; `default` is made if need be. -1 with err. */
int network_require(struct host *host, const char *name, struct network *network, struct error *err);

struct cidr network_subnet4(const struct network *network);
struct cidr network_subnet6(const struct network *network); /* all zero: it has no IPv6 */
unsigned int network_mtu(const struct host *host, const struct network *network);

/* Unreachable routes for its subnets, under all that endpoints have, and its IPv6 gateway address. Either may find its
 * work done. */
int network_add_routes(struct host *host, const struct network *network, struct error *err);
int network_delete_routes(struct host *host, const struct network *network, struct error *err);
/* What networks lack of IPv6 on this host: it was switched off for a while, or is new. 1 if there was anything, 0 if
 * not, -1 with err. */
int networks_mend(struct host *host, struct error *err);

#endif
