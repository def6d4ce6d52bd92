/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf conntrack events */
#include "cmd_conntrack.h"
#include "connection_event.h"
#include "listen.h"

struct watch {
	struct host host; /* for names */
	struct connection_filter filter;
};

static int show(void *arg, void *record, size_t size)
{
	struct connection_view view;
	struct watch *watch = arg;

	if (size < sizeof(struct connection_event))
		return 0;
	connection_event_view(&watch->host, record, &view);
	return filter_matches(&watch->filter, &view) ? connection_event_show(record, &view) : 0;
}

static int open_watch(struct watch *watch, struct error *err)
{
	if (host_open(&watch->host, err))
		return -1;
	if (!watch->host.running)
		return fail(err, EXIT_MISSING, "nothing runs here (`nsbpf add NAME` begins)");
	return filter_settle(&watch->filter, &watch->host, err);
}

int conntrack_events(int argc, char **argv)
{
	const char *count = NULL, *time = NULL;
	const struct option_spec limits[] = {
		{ .name = "count", .value = &count },
		{ .name = "time", .value = &time },
		{ NULL },
	};
	struct watch watch;
	struct listening listening = { .kinds = LISTEN_CONNECTIONS, .show = show, .arg = &watch };
	struct error err;
	int ret = conntrack_filter(argc, argv, limits, &watch.filter);

	if (!ret)
		ret = listening_limits(&listening, count, time);
	if (ret)
		return ret;
	ret = open_watch(&watch, &err) ? report(&err) : listen_until_end(&listening);
	host_close(&watch.host);
	return ret;
}
