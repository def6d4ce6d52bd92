/* SPDX-License-Identifier: GPL-2.0-only */
/* Which subnet a network may have. */
#ifndef NSBPF_SUBNETS_H
#define NSBPF_SUBNETS_H

#include "addr.h"
#include "host.h"

/* The first /16 that overlaps no route of the host and no network, for the network `name`. 0, or -1 with err. */
int subnet_choose(const struct host *host, const char *name, struct cidr *subnet, struct error *err);
/* Whether this one will do: 0, or -1 with err. */
int subnet_check(const struct host *host, const char *name, const struct cidr *subnet, struct error *err);
int subnet_check_gateway(const struct cidr *subnet, const struct nsbpf_addr *gateway, struct error *err);

#endif
