/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table, from user space: ending what is in it. */
#ifndef NSBPF_CONNECTIONS_H
#define NSBPF_CONNECTIONS_H

#include "host.h"

/* Is this original entry's connection meant? */
typedef bool connection_fn(const struct tuple *tuple, const struct conn *conn, const void *arg);

/* Ends every connection for which `which` says true, with its NAT bindings. One that comes or goes meanwhile may be
 * missed. How many, or -errno. */
int connections_end(const struct host *host, connection_fn *which, const void *arg);

#endif
