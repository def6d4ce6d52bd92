/* SPDX-License-Identifier: GPL-2.0-only */
/* A connection's beginning, change and end as they are shown. */
#ifndef NSBPF_CONNECTION_EVENT_H
#define NSBPF_CONNECTION_EVENT_H

#include "connection_view.h"
#include "nsbpf/events.h"

void connection_event_view(const struct host *host, const struct connection_event *event, struct connection_view *view);
/* Prints it: 1, or -errno. */
int connection_event_show(const struct connection_event *event, const struct connection_view *view);

#endif
