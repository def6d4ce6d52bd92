/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables from JSON. */
#include "listing.h"

#include <stdio.h>
#include <string.h>

#include "command.h"

#define CELL 256
#define MAX_COLUMNS 16

/* One value as text: "-" for null and for an empty array, an array with commas. */
static void format_value(const json_t *value, char *text, size_t size)
{
	const json_t *item;
	size_t i, used = 0;

	snprintf(text, size, "-");
	if (json_is_string(value))
		snprintf(text, size, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_boolean(value))
		snprintf(text, size, json_is_true(value) ? "yes" : "no");
	else if (json_is_array(value))
		json_array_foreach(value, i, item) if (used < size)
			used += snprintf(text + used, size - used, "%s%s", i ? "," : "", json_string_value(item));
}

void print_table(const json_t *rows, const struct column *columns)
{
	size_t widths[MAX_COLUMNS], i, c;
	char cell[CELL];
	const json_t *row;

	if (!json_array_size(rows))
		return;
	for (c = 0; columns[c].title; c++) {
		widths[c] = strlen(columns[c].title);
		json_array_foreach(rows, i, row)
		{
			format_value(json_object_get(row, columns[c].key), cell, sizeof(cell));
			if (strlen(cell) > widths[c])
				widths[c] = strlen(cell);
		}
	}
	for (c = 0; columns[c].title; c++)
		printf("%-*s", columns[c + 1].title ? (int)widths[c] + 2 : 0, columns[c].title);
	putchar('\n');
	json_array_foreach(rows, i, row)
	{
		for (c = 0; columns[c].title; c++) {
			format_value(json_object_get(row, columns[c].key), cell, sizeof(cell));
			printf("%-*s", columns[c + 1].title ? (int)widths[c] + 2 : 0, cell);
		}
		putchar('\n');
	}
}

int run_listing(int argc, char **argv, const struct listing *listing)
{
	struct error err;
	struct host host;
	json_t *rows;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("%s takes no words", argv[0]);
	if (host_open(&host, &err)) {
		host_close(&host);
		return report(&err);
	}
	rows = host.running ? listing->build(&host) : json_array();
	host_close(&host);
	if (!rows)
		return report(&(struct error){ EXIT_SYSTEM, "cannot read what runs here" });
	if (json_output)
		return report_json(rows);
	print_table(rows, listing->columns);
	json_decref(rows);
	return EXIT_DONE;
}
