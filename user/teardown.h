/* SPDX-License-Identifier: GPL-2.0-only */
/* Everything goes, in the reverse of the order in which it came. */
#ifndef NSBPF_TEARDOWN_H
#define NSBPF_TEARDOWN_H

#include "host.h"

/* Endpoints (adopted namespaces stay), networks, uplinks, datapath. Needs the lock; can be repeated until it succeeds.
 * 1 if done, 0 if there was nothing, -1 with err. */
int host_take_down(struct host *host, struct error *err);

/* Ends a changing command: if it failed and had to start the datapath, that is taken away again. Closes the host. */
void host_finish(struct host *host, bool failed);

#endif
