/* SPDX-License-Identifier: GPL-2.0-only */
/* What the datapath can't find out by itself: every command that adds something brings it up to date. */
#ifndef NSBPF_REFRESH_H
#define NSBPF_REFRESH_H

#include "host.h"

/* lo's forwarding, the NAT port range, the host's addresses, uplinks. */
int refresh(struct host *host, struct error *err);

/* The two NAT port ranges that ip_local_port_range leaves free above 1023; an empty one is { 1, 0 }. If it leaves
 * nothing, all from 1024 on: then only the look at the host's sockets keeps them apart. Ports in host order. */
void nat_port_ranges(unsigned int local_first, unsigned int local_last, struct port_range ranges[2]);

#endif
