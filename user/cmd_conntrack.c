/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf conntrack: the connections, one by one. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <string.h>
#include <unistd.h>

#include "cmd_conntrack.h"
#include "connections.h"
#include "teardown.h"
#include "terminal.h"
#include "totals.h"

#define MORE_OPTIONS 2

int conntrack_filter(int argc, char **argv, const struct option_spec *more, struct connection_filter *filter)
{
	struct option_spec options[FILTER_OPTIONS + MORE_OPTIONS + 1] = { 0 };
	struct filter_words words = { 0 };
	struct error err;

	filter_options(&words, options);
	for (int i = 0; more && i < MORE_OPTIONS && more[i].name; i++)
		options[FILTER_OPTIONS + i] = more[i];
	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("conntrack %s takes nothing but options (`nsbpf help conntrack`)", argv[0]);
	return filter_parse(filter, &words, &err) ? report(&err) : 0;
}

/* What runs here, for looking, and the filter's endpoint. To be closed in any case. */
static int open_filtered(struct host *host, struct connection_filter *filter, struct error *err)
{
	return host_open(host, err) || filter_settle(filter, host, err) ? -1 : 0;
}

/* A listing on its way out: of a table of a million only one row is in memory. */
struct output {
	const struct connection_filter *filter;
	size_t flags; /* jansson's */
	size_t count;
	int error; /* nothing can be written any more */
};

static int write_json(struct output *out, const struct connection_view *view)
{
	json_t *json = connection_json(view);
	int ret = !json || fputs(out->count ? "," : "[", stdout) == EOF || json_dumpf(json, stdout, out->flags);

	json_decref(json);
	return ret;
}

static int write_line(const struct connection_view *view)
{
	char line[CONNECTION_LINE];

	return puts(connection_line(view, line)) == EOF;
}

static int list_view(const struct connection_view *view, void *arg)
{
	struct output *out = arg;

	if (!filter_matches(out->filter, view))
		return 0;
	out->error = json_output ? write_json(out, view) : write_line(view);
	out->count++;
	return out->error;
}

static int conntrack_list(int argc, char **argv)
{
	struct connection_filter filter;
	struct output out = { .filter = &filter, .flags = isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT };
	struct error err;
	struct host host;
	int ret = conntrack_filter(argc, argv, NULL, &filter);

	if (ret)
		return ret;
	__fsetlocking(stdout, FSETLOCKING_BYCALLER); /* a third of the time: jansson writes a word at a time */
	ret = open_filtered(&host, &filter, &err);
	if (!ret && host.running)
		ret = connections_each(&host, list_view, &out, &err);
	host_close(&host);
	if (ret < 0)
		return report(&err);
	if (json_output)
		puts(out.count ? "]" : "[]");
	if (out.error || fflush(stdout))
		return report(&(struct error){ EXIT_SYSTEM, "cannot write the listing" });
	return EXIT_DONE;
}

struct matching {
	const struct connection_filter *filter;
	size_t count;
};

static int count_view(const struct connection_view *view, void *arg)
{
	struct matching *matching = arg;

	matching->count += filter_matches(matching->filter, view);
	return 0;
}

static int conntrack_count(int argc, char **argv)
{
	struct connection_filter filter;
	struct matching matching = { &filter, 0 };
	struct error err;
	struct host host;
	int ret = conntrack_filter(argc, argv, NULL, &filter);

	if (ret)
		return ret;
	ret = open_filtered(&host, &filter, &err);
	if (!ret && host.running && filter_is_empty(&filter))
		matching.count = host.usage[0].connections;
	else if (!ret && host.running)
		ret = connections_each(&host, count_view, &matching, &err);
	host_close(&host);
	if (ret)
		return report(&err);
	if (json_output)
		return report_json(json_pack("{s:I}", "count", (json_int_t)matching.count));
	printf("%zu\n", matching.count);
	return EXIT_DONE;
}

/* All that names one direction of one connection. */
static int tuple_of(const struct connection_filter *f, const struct filter_words *words, struct tuple *tuple,
		    struct error *err)
{
	bool is_query = f->proto == IPPROTO_ICMP || f->proto == IPPROTO_ICMPV6;

	if (words->family || words->state || words->endpoint || words->nat || !f->proto || !f->has_source ||
	    !f->has_destination || f->source.prefix != 128 || f->destination.prefix != 128 ||
	    (is_query ? !f->has_id : !f->has_sport || !f->has_dport))
		return fail(
			err, EXIT_USAGE,
			"conntrack get wants one tuple: --proto, --src, --dst, and --sport and --dport or --icmp-id");
	*tuple = (struct tuple){ .saddr = f->source.addr,
				 .daddr = f->destination.addr,
				 .sport = htons(is_query ? f->id : f->sport),
				 .dport = htons(f->dport),
				 .proto = f->proto };
	return 0;
}

/* A query's tuple is one thing as a question and another as an answer. */
static int find(struct host *host, struct tuple tuple, struct connection_view *view, struct error *err)
{
	bool is_query = tuple.proto == IPPROTO_ICMP || tuple.proto == IPPROTO_ICMPV6;
	int ret = host->running ? connection_find(host, &tuple, view, err) : 0;

	if (!ret && host->running && is_query) {
		tuple.dport = tuple.sport;
		tuple.sport = 0;
		ret = connection_find(host, &tuple, view, err);
	}
	return ret ? ret : fail(err, EXIT_MISSING, "no such connection");
}

static int show(const struct connection_view *view)
{
	if (json_output)
		return report_json(connection_json(view));
	return write_line(view) ? EXIT_SYSTEM : EXIT_DONE;
}

static int conntrack_get(int argc, char **argv)
{
	struct option_spec options[FILTER_OPTIONS + 1] = { 0 };
	struct filter_words words = { 0 };
	struct connection_filter filter;
	struct connection_view view;
	struct tuple tuple;
	struct error err;
	struct host host;
	int ret;

	filter_options(&words, options);
	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("conntrack get takes nothing but options (`nsbpf help conntrack`)");
	if (filter_parse(&filter, &words, &err) || tuple_of(&filter, &words, &tuple, &err))
		return report(&err);
	ret = host_open(&host, &err);
	if (!ret)
		ret = find(&host, tuple, &view, &err);
	ret = ret > 0 ? show(&view) : report(&err);
	host_close(&host);
	return ret;
}

int cmd_conntrack(int argc, char **argv)
{
	static const struct {
		const char *name;
		int (*run)(int argc, char **argv);
	} verbs[] = {
		{ "list", conntrack_list },     { "get", conntrack_get },     { "count", conntrack_count },
		{ "delete", conntrack_delete }, { "flush", conntrack_flush }, { "stats", conntrack_stats },
		{ "events", conntrack_events },
	};

	for (size_t i = 0; argc > 1 && i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (!strcmp(argv[1], verbs[i].name))
			return verbs[i].run(argc - 1, argv + 1);
	return report_usage(
		"conntrack: list, get, count, delete, flush, stats or events is wanted (`nsbpf help conntrack`)");
}
