/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table, from user space. */
#ifndef NSBPF_CONNECTIONS_H
#define NSBPF_CONNECTIONS_H

#include "host.h"

/* Is this connection meant? Another one may take its place meanwhile; then that one may end, or be looked at, instead
 * if it is meant, too. */
typedef bool connection_fn(const struct conn *conn, const void *arg);

/* Both walk over the table, and may miss a connection that begins meanwhile. 0 or -errno. */

/* Ends every connection for which `which` says true, with its NAT bindings. */
int connections_end(const struct host *host, connection_fn *which, const void *arg);
/* The times have changed: a connection that is overdue by now ends, and the others when they will be. */
int connections_review(const struct host *host);

#endif
