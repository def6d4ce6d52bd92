/* SPDX-License-Identifier: GPL-2.0-only */
/* Keeping the routes that the host has learned from router advertisements while forwarding is switched on. */
#ifndef NSBPF_ACCEPT_RA_H
#define NSBPF_ACCEPT_RA_H

#include "host.h"

/*
 * Whoever switches forwarding on for any device makes the kernel forget the default routes that it has learned, for all
 * devices whose accept_ra is not 2 (rt6_purge_dflt_routers). For one that does not forward 1 and 2 mean the same, so
 * they get 2 for that moment. Both: 0 or -errno.
 */
int accept_ra_hold(struct host *host);
/* Everything is 1 again that was; also after a command that was killed in between. */
int accept_ra_release(struct host *host);

#endif
