/* SPDX-License-Identifier: GPL-2.0-only */
/* Connections and drops of a whole host, as JSON and for people. */
#include "totals.h"

#include <stdio.h>

#include "listing.h"

int totals_read(const struct host *host, struct totals *totals)
{
	*totals = (struct totals){ .max_connections = NSBPF_CONNECTIONS };
	if (!host->running)
		return 0;
	totals->max_connections = host->settings->connections;
	totals->usage = host->usage[0];
	totals->pressure = *host->pressure;
	return drops_read(host, totals->drops);
}

json_t *totals_connections(const struct totals *totals)
{
	return json_pack("{s:I,s:I,s:I,s:I,s:I}", "count", (json_int_t)totals->usage.connections, "max",
			 (json_int_t)totals->max_connections, "nat_ports", (json_int_t)totals->usage.ports, "gave_way",
			 (json_int_t)totals->pressure.gave_way, "overlaps", (json_int_t)totals->pressure.overlaps);
}

json_t *totals_drops(const unsigned long long drops[DROP_REASONS])
{
	json_t *json = json_object();

	for (int i = 0; i < DROP_REASONS; i++)
		json_object_set_new(json, drop_name(i), json_integer(drops[i]));
	return json;
}

/* Counts as they are, rates shortened. */
static void print_drop(enum drop_reason reason, const json_t *value)
{
	char text[SHORT_NUMBER];

	if (json_is_integer(value))
		printf("%10" JSON_INTEGER_FORMAT, json_integer_value(value));
	else
		printf("%10s", format_short(json_real_value(value), text));
	printf("  %s: %s\n", drop_name(reason), drop_text(reason));
}

void print_drops(const char *title, const json_t *drops)
{
	bool any = false;

	for (int i = 0; i < DROP_REASONS; i++) {
		const json_t *value = json_object_get(drops, drop_name(i));

		if (json_number_value(value) == 0)
			continue;
		if (!any)
			printf("\n%s\n", title);
		any = true;
		print_drop(i, value);
	}
}

void print_pressure(const json_t *connections)
{
	json_int_t gave_way = json_integer_value(json_object_get(connections, "gave_way"));
	json_int_t overlaps = json_integer_value(json_object_get(connections, "overlaps"));

	if (gave_way || overlaps)
		printf("lack of room: %" JSON_INTEGER_FORMAT " connections gave way, %" JSON_INTEGER_FORMAT
		       " had to share a NAT port\n",
		       gave_way, overlaps);
}
