/* SPDX-License-Identifier: GPL-2.0-only */
/* What the datapath can't find out by itself: every command that adds something brings it up to date. */
#ifndef NSBPF_REFRESH_H
#define NSBPF_REFRESH_H

#include "host.h"

/* lo's forwarding, the NAT port range, the host's addresses, what it has lost of IPv6, uplinks. */
int refresh(struct host *host, struct error *err);

#endif
