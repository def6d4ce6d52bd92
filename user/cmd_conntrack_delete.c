/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf conntrack delete, nsbpf conntrack flush */
#include <stdio.h>
#include <string.h>

#include "cmd_conntrack.h"
#include "connections.h"
#include "terminal.h"

#define PROGRESS_STEP 4096 /* a look at the clock for so many connections */

struct deletion {
	const struct host *host;
	const struct connection_filter *filter;
	struct progress progress;
	size_t seen, deleted;
};

static int delete_view(const struct connection_view *view, void *arg)
{
	struct deletion *deletion = arg;
	int ret = 0;

	if (!(deletion->seen++ % PROGRESS_STEP))
		progress_at(&deletion->progress, deletion->seen);
	if (filter_matches(deletion->filter, view))
		ret = connection_end(deletion->host, &view->conn);
	if (ret < 0)
		return -ret;
	deletion->deleted += ret;
	return 0;
}

static int report_deleted(size_t count)
{
	if (json_output)
		return report_json(
			json_pack("{s:b,s:n,s:I}", "changed", count > 0, "warning", "deleted", (json_int_t)count));
	if (!count)
		return report_done(false);
	printf("%zu connection%s deleted\n", count, count == 1 ? "" : "s");
	return EXIT_DONE;
}

static int delete_matching(struct connection_filter *filter)
{
	struct host host;
	struct deletion deletion = { .host = &host, .filter = filter };
	struct error err;
	int ret = host_change(&host, &err);

	if (!ret)
		ret = filter_settle(filter, &host, &err);
	if (!ret && host.running) {
		progress_begin(&deletion.progress, "deleting connections", host.usage[0].connections);
		ret = connections_each(&host, delete_view, &deletion, &err);
		progress_end(&deletion.progress);
	}
	if (ret > 0)
		fail(&err, EXIT_SYSTEM, "cannot end a connection: %s", strerror(ret));
	host_close(&host);
	return ret ? report(&err) : report_deleted(deletion.deleted);
}

int conntrack_delete(int argc, char **argv)
{
	struct connection_filter filter;
	int ret = conntrack_filter(argc, argv, NULL, &filter);

	if (ret)
		return ret;
	if (filter_is_empty(&filter))
		return report_usage("conntrack delete wants to know which (`nsbpf conntrack flush` deletes all)");
	return delete_matching(&filter);
}

int conntrack_flush(int argc, char **argv)
{
	struct connection_filter all = { 0 };

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("conntrack flush takes no words");
	return delete_matching(&all);
}
