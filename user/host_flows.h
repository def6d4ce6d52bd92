/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's own sockets that came through an exposed port: the hooks sent them straight to the endpoint. */
#ifndef NSBPF_HOST_FLOWS_H
#define NSBPF_HOST_FLOWS_H

#include "host.h"

/* Ends those that are connected through this mapping. 0 or -errno; fine where the kernel can't end sockets. */
int host_flows_end(const struct host *host, const struct mapping *mapping);

#endif
