/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf top */
#include <stdio.h>
#include <string.h>

#include "addr.h"
#include "command.h"
#include "endpoints.h"
#include "interval.h"
#include "stats_json.h"
#include "top.h"
#include "top_screen.h"

#define INTERVAL 1.0 /* s, if nobody says otherwise */
#define FLOWS 20
#define MAX_FLOWS 10000
#define MAX_COUNT 1000000000

/* Takes it. */
static int show(json_t *seen, bool first)
{
	if (json_output)
		return report_json(seen);
	if (!first)
		putchar('\n');
	if (json_is_true(json_object_get(seen, "running"))) {
		print_summary(seen);
		putchar('\n');
		write_table(stdout, json_object_get(seen, "endpoints"), endpoint_rates, ENDPOINT_NUMBERS);
		if (json_array_size(json_object_get(seen, "flows")))
			putchar('\n');
		write_table(stdout, json_object_get(seen, "flows"), flow_columns, FLOW_NUMBERS);
	} else {
		print_idle();
	}
	json_decref(seen);
	return fflush(stdout) ? EXIT_SYSTEM : EXIT_DONE;
}

/* As text or as JSON; count 0: without end. */
static int print(struct top *top, double seconds, unsigned long count)
{
	struct interval interval;
	struct error err;
	int ret = EXIT_DONE;

	if (top_look(top, &err))
		return report(&err);
	interval_begin(&interval, seconds);
	for (unsigned long shown = 0; !ret && (!count || shown < count); shown++) {
		interval_wait(&interval);
		ret = top_look(top, &err) ? report(&err) : show(top_json(top), !shown);
	}
	return ret;
}

static int require_endpoint(const char *name, struct error *err)
{
	struct endpoint endpoint;
	struct host host;
	int ret = host_open(&host, err);

	if (!ret && (!host.running || endpoint_find(&host, name, &endpoint) < 0))
		ret = fail(err, EXIT_MISSING, "no endpoint %s", name);
	host_close(&host);
	return ret;
}

static int parse_order(const char *text, enum top_order *order)
{
	for (int i = 0; i < TOP_ORDERS; i++) {
		if (!strcmp(text, top_orders[i])) {
			*order = i;
			return 0;
		}
	}
	return report_usage("--sort %s: bits, packets, drops, connections or name is wanted", text);
}

struct words {
	const char *endpoint, *sort, *interval, *count, *flows;
	bool once;
};

/* 0, or EXIT_USAGE, reported. */
static int parse(int argc, char **argv, struct words *w, struct top *top, double *seconds, unsigned long *count)
{
	const struct option_spec options[] = {
		{ .name = "endpoint", .value = &w->endpoint },
		{ .name = "sort", .value = &w->sort },
		{ .name = "interval", .value = &w->interval },
		{ .name = "count", .value = &w->count },
		{ .name = "flows", .value = &w->flows },
		{ .name = "once", .flag = &w->once },
		{ 0 },
	};

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("top takes no words");
	if (w->sort && parse_order(w->sort, &top->order))
		return EXIT_USAGE;
	if (w->interval && interval_parse(w->interval, seconds))
		return report_usage("--interval %s: " INTERVAL_RANGE " are wanted", w->interval);
	if (w->once && w->count)
		return report_usage("--once is --count 1");
	*count = w->once;
	if (w->count && number_parse(w->count, 1, MAX_COUNT, count))
		return report_usage("--count %s: a number from 1 to %d is wanted", w->count, MAX_COUNT);
	if (w->flows && number_parse(w->flows, 0, MAX_FLOWS, &top->max_flows))
		return report_usage("--flows %s: a number from 0 to %d is wanted", w->flows, MAX_FLOWS);
	return 0;
}

int cmd_top(int argc, char **argv)
{
	struct top top = { .max_flows = FLOWS };
	unsigned long count = 0;
	double seconds = INTERVAL;
	struct words words = { 0 };
	struct error err;
	int ret;

	if (parse(argc, argv, &words, &top, &seconds, &count))
		return EXIT_USAGE;
	if (words.endpoint) {
		if (require_endpoint(words.endpoint, &err))
			return report(&err);
		snprintf(top.endpoint, sizeof(top.endpoint), "%s", words.endpoint);
	}
	if (count || json_output)
		ret = print(&top, seconds, count);
	else
		ret = top_screen(&top, seconds, &err) ? report(&err) : EXIT_DONE;
	top_free(&top);
	return ret;
}
