/* SPDX-License-Identifier: GPL-2.0-only */
/* Which subnets a network may have. Both families; 0, or -1 with err. */
#ifndef NSBPF_SUBNETS_H
#define NSBPF_SUBNETS_H

#include "addr.h"
#include "host.h"

/* One that overlaps no route of the host and no network, for the network `name`. */
int subnet4_choose(const struct host *host, const char *name, struct cidr *subnet, struct error *err);
int subnet6_choose(const struct host *host, const char *name, struct cidr *subnet, struct error *err);
/* Whether this one will do. */
int subnet4_check(const struct host *host, const char *name, const struct cidr *subnet, struct error *err);
int subnet6_check(const struct host *host, const char *name, const struct cidr *subnet, struct error *err);
int subnet_check_gateway(const struct cidr *subnet, const struct nsbpf_addr *gateway, struct error *err);

#endif
