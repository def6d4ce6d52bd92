/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf conntrack stats */
#include <stdio.h>

#include "cmd_conntrack.h"
#include "connection_counts.h"
#include "listing.h"
#include "totals.h"

static void print_counts(json_t *counts, const char *title)
{
	printf("\n%s\n", title);
	for (void *count = json_object_iter(counts); count; count = json_object_iter_next(counts, count))
		printf("%10" JSON_INTEGER_FORMAT "  %s\n", json_integer_value(json_object_iter_value(count)),
		       json_object_iter_key(count));
}

static void print_stats(const json_t *stats)
{
	static const char *const kinds[] = { "assured", "unreplied", "snat", "dnat" };
	const json_t *connections = json_object_get(stats, "connections");
	json_int_t count = json_integer_value(json_object_get(connections, "count"));
	json_int_t max = json_integer_value(json_object_get(connections, "max"));

	printf("%" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " connections (%.1f %%), %" JSON_INTEGER_FORMAT
	       " NAT ports\n",
	       count, max, 100.0 * count / max, json_integer_value(json_object_get(connections, "nat_ports")));
	print_pressure(connections);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		printf("%s%" JSON_INTEGER_FORMAT " %s", i ? ", " : "",
		       json_integer_value(json_object_get(stats, kinds[i])), kinds[i]);
	putchar('\n');
	print_counts(json_object_get(stats, "protocols"), "by protocol");
	print_counts(json_object_get(stats, "states"), "by state");
}

int conntrack_stats(int argc, char **argv)
{
	struct error err;
	struct host host;
	json_t *stats;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("conntrack stats takes no words");
	ret = host_open(&host, &err) || connection_counts(&host, &stats, &err);
	host_close(&host);
	if (ret)
		return report(&err);
	if (json_output)
		return report_json(stats);
	if (json_is_true(json_object_get(stats, "running")))
		print_stats(stats);
	else
		print_idle();
	json_decref(stats);
	return EXIT_DONE;
}
