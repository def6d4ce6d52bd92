/* SPDX-License-Identifier: GPL-2.0-only */
/* The connection table, from user space. */
#ifndef NSBPF_CONNECTIONS_H
#define NSBPF_CONNECTIONS_H

#include "connection_view.h"
#include "host.h"

/* Is this connection meant? Another one may take its place meanwhile; then that one may end, or be looked at, instead
 * if it is meant, too. */
typedef bool connection_fn(const struct conn *conn, const void *arg);

/* All of these walk over the table, a part of it in memory at a time and without a lock, and may miss a connection that
 * begins meanwhile. */

/* Ends every connection for which `which` says true, with its NAT bindings. 0 or -errno. */
int connections_end(const struct host *host, connection_fn *which, const void *arg);
/* The times have changed: a connection that is overdue by now ends, and the others when they will be. 0 or -errno. */
int connections_review(const struct host *host);

/* Calls each() with every connection, one that has ended meanwhile left out, until it returns non-zero, which is then
 * returned (no -1, please). 0, or -1 with err. */
typedef int connection_view_fn(const struct connection_view *view, void *arg);
int connections_each(struct host *host, connection_view_fn *each, void *arg, struct error *err);
/* The one of which packets with this tuple are, in either direction. 1 if there is one, 0 if not, -1 with err. */
int connection_find(struct host *host, const struct tuple *tuple, struct connection_view *view, struct error *err);
/* Ends this one, unless it has ended. 1 if done, 0 if there was none any more, or -errno. */
int connection_end(const struct host *host, const struct conn *conn);

#endif
