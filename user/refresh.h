/* SPDX-License-Identifier: GPL-2.0-only */
/* What the datapath can't find out by itself: every command that adds something brings it up to date. */
#ifndef NSBPF_REFRESH_H
#define NSBPF_REFRESH_H

#include "host.h"

/* lo's forwarding, the NAT port range, the host's addresses, what it has lost of IPv6, uplinks. */
int refresh(struct host *host, struct error *err);

/* Where masquerade is to take its ports from, by the setting and as the host is now; an empty range is 1 to 0. */
int nat_ports_wanted(const struct host *host, struct port_range ranges[2], struct error *err);
/* May masquerade have these? Not what the host's own connections take. */
int nat_ports_check(struct port_range range, struct error *err);
int refresh_nat_ports(struct host *host, struct error *err);

#endif
