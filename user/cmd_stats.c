/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf stats */
#include <stdio.h>

#include "addr.h"
#include "command.h"
#include "interval.h"
#include "stats_json.h"
#include "terminal.h"

#define INTERVAL 1.0 /* s, if nobody says otherwise */
#define MAX_COUNT 1000000000

static void print_endpoints(const json_t *stats, const struct column *columns)
{
	json_t *rows = json_deep_copy(json_object_get(stats, "endpoints"));

	json_array_append(rows, json_object_get(stats, "all"));
	write_table(stdout, rows, columns, ENDPOINT_NUMBERS);
	json_decref(rows);
}

static void print_stats(const json_t *stats)
{
	const json_t *connections = json_object_get(stats, "connections");
	const json_t *interval = json_object_get(stats, "interval");

	if (!json_is_true(json_object_get(stats, "running"))) {
		print_idle();
		return;
	}
	print_summary(stats);
	print_pressure(connections);
	putchar('\n');
	print_endpoints(stats, json_is_null(interval) ? endpoint_counts : endpoint_rates);
	if (json_is_null(interval))
		print_drops("dropped packets", json_object_get(stats, "drops"));
	else
		print_drops("dropped packets, in a second", json_object_get(stats, "drops_per_s"));
}

static int show(const struct sample *now, const struct sample *before)
{
	json_t *stats = stats_json(now, before);

	if (json_output)
		return report_json(stats);
	print_stats(stats);
	json_decref(stats);
	return EXIT_DONE;
}

static int show_counts(void)
{
	struct sample sample;
	struct error err;
	int ret;

	if (sample_now(&sample, &err))
		return report(&err);
	ret = show(&sample, NULL);
	sample_free(&sample);
	return ret;
}

/* In place on a terminal, one below the other elsewhere. */
static int show_rates(const struct sample *now, const struct sample *before, bool first)
{
	int ret;

	if (!json_output && !terminal_clear(stdout) && !first)
		putchar('\n');
	ret = show(now, before);
	return fflush(stdout) ? EXIT_SYSTEM : ret;
}

/* count 0: without end. */
static int watch(double seconds, unsigned long count)
{
	struct sample before, now;
	struct interval interval;
	struct error err;
	int ret = EXIT_DONE;

	if (sample_now(&before, &err))
		return report(&err);
	interval_begin(&interval, seconds);
	for (unsigned long shown = 0; !ret && (!count || shown < count); shown++) {
		interval_wait(&interval);
		if (sample_now(&now, &err)) {
			ret = report(&err);
			break;
		}
		ret = show_rates(&now, &before, !shown);
		sample_free(&before);
		before = now;
	}
	sample_free(&before);
	return ret;
}

int cmd_stats(int argc, char **argv)
{
	const char *count_text = NULL;
	bool watching = false;
	unsigned long count = 0;
	double seconds = INTERVAL;
	const struct option_spec options[] = {
		{ .name = "watch", .flag = &watching },
		{ .name = "count", .value = &count_text },
		{ 0 },
	};

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (!watching && count_text)
		return report_usage("--count goes with --watch");
	if (argc > (watching ? 2 : 1))
		return report_usage(watching ? "stats --watch takes one interval" : "stats takes no words");
	if (argc == 2 && interval_parse(argv[1], &seconds))
		return report_usage("--watch %s: " INTERVAL_RANGE " are wanted", argv[1]);
	if (count_text && number_parse(count_text, 1, MAX_COUNT, &count))
		return report_usage("--count %s: a number from 1 to %d is wanted", count_text, MAX_COUNT);
	return watching ? watch(seconds, count) : show_counts();
}
