/* SPDX-License-Identifier: GPL-2.0-only */
/* Events of connections: as `conntrack -E` has them, and as JSON. */
#include "connection_event.h"

#include <errno.h>
#include <stdio.h>

#include "command.h"
#include "event_text.h"
#include "listen.h"
#include "terminal.h"

static const struct {
	const char *name;
	const char *mark;
} kinds[] = {
	[EVENT_NEW] = { "new", "[NEW]" },
	[EVENT_UPDATE] = { "update", "[UPDATE]" },
	[EVENT_DESTROY] = { "destroy", "[DESTROY]" },
};

void connection_event_view(const struct host *host, const struct connection_event *event, struct connection_view *view)
{
	*view = (struct connection_view){ .conn = event->conn };
	for (int dir = 0; dir < CONN_DIRS; dir++)
		view->traffic[dir] = event->traffic[dir];
	connection_view_complete(host, view);
	/* As it was when it happened. */
	view->left = event->event.kind == EVENT_DESTROY ? 0 : host->settings->timeouts[view->state];
}

int connection_event_show(const struct connection_event *event, const struct connection_view *view)
{
	char line[CONNECTION_LINE], time[EVENT_TIME];

	if (json_output)
		return listening_print(json_pack("{s:s,s:o,s:o}", "event", kinds[event->event.kind].name, "time",
						 event_time_json(&event->event), "connection", connection_json(view)));
	printf("%s%s%s %9s %s\n", color(stdout, COLOR_DIM), event_time(&event->event, time), color(stdout, COLOR_NONE),
	       kinds[event->event.kind].mark, connection_line(view, line));
	return 1;
}
