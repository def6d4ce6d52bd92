/* SPDX-License-Identifier: GPL-2.0-only */
/* The one place that prints errors and JSON. */
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "command.h"

#define REAL_DIGITS 15 /* that make the same number again; 17 would show how it is stored */

bool json_output;

int report(const struct error *err)
{
	if (json_output) {
		json_t *json = json_pack("{s:{s:i,s:s}}", "error", "code", err->code, "text", err->text);

		json_dumpf(json, stderr, JSON_COMPACT);
		fputc('\n', stderr);
		json_decref(json);
	} else {
		fprintf(stderr, "nsbpf: %s\n", err->text);
	}
	return err->code;
}

int report_usage(const char *fmt, ...)
{
	char text[sizeof(((struct error *)0)->text)];
	struct error err;
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	fail(&err, EXIT_USAGE, "%s", text);
	return report(&err);
}

int report_option(const struct error *err)
{
	return report_usage("--%s", err->text);
}

int report_change(bool changed, const char *warning)
{
	if (json_output)
		return report_json(json_pack("{s:b,s:s?}", "changed", changed, "warning", warning));
	if (!changed)
		puts("unchanged");
	if (warning)
		puts(warning);
	return EXIT_DONE;
}

int report_done(bool changed)
{
	return report_change(changed, NULL);
}

void report_aside(const char *fmt, ...)
{
	va_list args;

	if (json_output)
		return;
	fputs("nsbpf: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

int report_json(json_t *json)
{
	size_t flags = isatty(STDOUT_FILENO) ? JSON_INDENT(2) : JSON_COMPACT;
	int ret = !json || json_dumpf(json, stdout, flags | JSON_REAL_PRECISION(REAL_DIGITS));

	json_decref(json);
	if (ret || putchar('\n') == EOF || fflush(stdout))
		return report(&(struct error){ EXIT_SYSTEM, "cannot write the listing" });
	return EXIT_DONE;
}
