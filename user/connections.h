/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table, from user space: counting and ending. */
#ifndef NSBPF_CONNECTIONS_H
#define NSBPF_CONNECTIONS_H

#include "host.h"

/* Called with original entries only. A non-zero result ends the walk and is returned. */
typedef int connection_fn(const struct tuple *tuple, const struct conn *conn, void *arg);

/* Reads in batches, holding nothing that packets need. A connection that comes or goes meanwhile may be missed. 0, what
 * each() returned, or -errno. */
int connection_each(const struct host *host, connection_fn *each, void *arg);

/* How many there are, or -errno. */
int connections_count(const struct host *host);

/* Ends every connection for which `which` says true, both directions of it. How many, or -errno. */
int connections_end(const struct host *host, bool (*which)(const struct tuple *, const struct conn *, const void *arg),
		    const void *arg);

#endif
