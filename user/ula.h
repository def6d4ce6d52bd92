/* SPDX-License-Identifier: GPL-2.0-only */
/* Unique local addresses (RFC 4193) that are the same after every restart. */
#ifndef NSBPF_ULA_H
#define NSBPF_ULA_H

#include "addr.h"
#include "nl.h"

#define ULA_SITE_PREFIX 48
#define ULA_SUBNET_PREFIX 64

/* This machine's /48: fd and a global ID of 40 bits. 0, or -errno of listing the devices. */
int ula_site(struct nl *nl, struct nsbpf_addr *site);
/* The subnet ID that a network of this name tries first. */
__u16 ula_subnet_id(const char *name);
struct cidr ula_subnet(const struct nsbpf_addr *site, __u16 id);

#endif
