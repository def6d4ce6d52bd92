/* SPDX-License-Identifier: GPL-2.0-only */
/* Tables from JSON. */
#include "listing.h"

#include <stdio.h>
#include <string.h>

#include "command.h"
#include "terminal.h"

#define CELL 256
#define MAX_COLUMNS 16

const char *format_short(double number, char text[SHORT_NUMBER])
{
	static const char *const units[] = { "", "k", "M", "G", "T" };
	size_t unit = 0;
	int digits;

	/* From where it would be rounded to four digits. */
	while (number >= 999.5 && unit + 1 < sizeof(units) / sizeof(units[0])) {
		number /= 1000;
		unit++;
	}
	if (unit)
		digits = number < 9.995 ? 2 : number < 99.95 ? 1 : 0;
	else
		digits = number < 99.95 && number != (long)number;
	snprintf(text, SHORT_NUMBER, "%.*f%s", digits, number, units[unit]);
	return text;
}

/* One value as text: "-" for null and for an empty array, an array with commas. */
static void format_value(const json_t *value, char *text, size_t size)
{
	char number[SHORT_NUMBER];
	const json_t *item;
	size_t i, used = 0;

	snprintf(text, size, "-");
	if (json_is_string(value))
		snprintf(text, size, "%s", json_string_value(value));
	else if (json_is_integer(value))
		snprintf(text, size, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
	else if (json_is_real(value))
		snprintf(text, size, "%s", format_short(json_real_value(value), number));
	else if (json_is_boolean(value))
		snprintf(text, size, json_is_true(value) ? "yes" : "no");
	else if (json_is_array(value))
		json_array_foreach(value, i, item) if (used < size)
			used += snprintf(text + used, size - used, "%s%s", i ? "," : "", json_string_value(item));
}

static size_t count_columns(const struct column *columns)
{
	size_t count = 0;

	while (columns[count].title)
		count++;
	return count;
}

/* A table being written. */
struct table {
	FILE *out;
	const struct column *columns;
	size_t count, numbers;
	size_t widths[MAX_COLUMNS];
};

static void write_cell(const struct table *t, size_t c, const char *text)
{
	bool last = c + 1 == t->count;

	if (c + t->numbers >= t->count)
		fprintf(t->out, "%*s%s", (int)t->widths[c], text, last ? "\n" : "  ");
	else
		fprintf(t->out, "%-*s%s", last ? 0 : (int)t->widths[c] + 2, text, last ? "\n" : "");
}

static void measure(struct table *t, const json_t *rows)
{
	char cell[CELL];
	const json_t *row;
	size_t i;

	for (size_t c = 0; c < t->count; c++) {
		t->widths[c] = strlen(t->columns[c].title);
		json_array_foreach(rows, i, row)
		{
			format_value(json_object_get(row, t->columns[c].key), cell, sizeof(cell));
			if (strlen(cell) > t->widths[c])
				t->widths[c] = strlen(cell);
		}
	}
}

void write_table(FILE *out, const json_t *rows, const struct column *columns, size_t numbers)
{
	struct table t = { .out = out, .columns = columns, .count = count_columns(columns), .numbers = numbers };
	char cell[CELL];
	const json_t *row;
	size_t i;

	if (!json_array_size(rows))
		return;
	measure(&t, rows);
	fputs(color(out, COLOR_BOLD), out);
	for (size_t c = 0; c < t.count; c++)
		write_cell(&t, c, columns[c].title);
	fputs(color(out, COLOR_NONE), out);
	json_array_foreach(rows, i, row) for (size_t c = 0; c < t.count; c++)
	{
		format_value(json_object_get(row, columns[c].key), cell, sizeof(cell));
		write_cell(&t, c, cell);
	}
}

void print_table(const json_t *rows, const struct column *columns)
{
	write_table(stdout, rows, columns, 0);
}

void print_idle(void)
{
	puts("nothing runs here (`nsbpf add NAME` begins, `nsbpf help` lists the commands)");
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
