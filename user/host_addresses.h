/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's own addresses, as the datapath knows them. */
#ifndef NSBPF_HOST_ADDRESSES_H
#define NSBPF_HOST_ADDRESSES_H

#include "host.h"

/* Local and broadcast addresses, as the FIB has them now. */
int host_addresses_refresh(struct host *host, struct error *err);
/* Calls each() with every address that the host has and the datapath does not know as what it is (`missing`), and every
 * one that it knows though it is the host's no longer, until it returns non-zero. That, or -errno. */
int host_addresses_differing(const struct host *host,
			     int (*each)(const struct nsbpf_addr *addr, bool missing, void *arg), void *arg);
/* A network's gateway, which the host just got as an address. 0 or -errno. */
int host_gateway_add(struct host *host, const struct nsbpf_addr *addr);
/* enum host_address, or 0 if it was none of the host's at the last refresh. */
int host_address_kind(const struct host *host, const struct nsbpf_addr *addr);
/* 0 if it was one of the host's, other than broadcast, at the last refresh; else -1 with err. */
int host_address_require(const struct host *host, const struct nsbpf_addr *addr, struct error *err);

#endif
