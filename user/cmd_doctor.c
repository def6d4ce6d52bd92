/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf doctor */
#include <stdio.h>

#include "command.h"
#include "doctor.h"
#include "terminal.h"

static const char *const level_names[] = {
	[LEVEL_OK] = "ok",
	[LEVEL_NOTE] = "note",
	[LEVEL_WARNING] = "warning",
	[LEVEL_PROBLEM] = "problem",
};

static size_t count_of(const struct doctor *doctor, enum level level)
{
	size_t count = 0;

	for (size_t i = 0; i < doctor->count; i++)
		count += doctor->list[i].level == level;
	return count;
}

static const char *or_null(const char *text)
{
	return *text ? text : NULL;
}

static json_t *doctor_json(const struct doctor *doctor)
{
	json_t *list = json_array();

	for (size_t i = 0; i < doctor->count; i++) {
		const struct diagnosis *d = &doctor->list[i];

		json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:s?,s:s?}", "level", level_names[d->level],
						      "subject", d->subject, "text", d->text, "why", or_null(d->why),
						      "fix", or_null(d->fix)));
	}
	return json_pack("{s:b,s:I,s:I,s:o}", "ok", !count_of(doctor, LEVEL_PROBLEM), "problems",
			 (json_int_t)count_of(doctor, LEVEL_PROBLEM), "warnings",
			 (json_int_t)count_of(doctor, LEVEL_WARNING), "diagnoses", list);
}

static void print_diagnosis(const struct diagnosis *d)
{
	static const enum color colors[] = {
		[LEVEL_OK] = COLOR_GOOD,
		[LEVEL_NOTE] = COLOR_DIM,
		[LEVEL_WARNING] = COLOR_WARNING,
		[LEVEL_PROBLEM] = COLOR_BAD,
	};

	printf("%s%-8s%s %s: %s\n", color(stdout, colors[d->level]), level_names[d->level], color(stdout, COLOR_NONE),
	       d->subject, d->text);
	if (d->why[0])
		printf("         why: %s\n", d->why);
	if (d->fix[0])
		printf("         fix: %s\n", d->fix);
}

static void print_doctor(const struct doctor *doctor)
{
	size_t problems = count_of(doctor, LEVEL_PROBLEM), warnings = count_of(doctor, LEVEL_WARNING);

	for (size_t i = 0; i < doctor->count; i++)
		print_diagnosis(&doctor->list[i]);
	printf("%zu problem%s, %zu warning%s\n", problems, problems == 1 ? "" : "s", warnings,
	       warnings == 1 ? "" : "s");
}

int cmd_doctor(int argc, char **argv)
{
	struct doctor doctor = { 0 };
	struct error err;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("doctor takes no words");
	ret = doctor_look(&doctor, &err);
	if (ret)
		ret = report(&err);
	else if (json_output)
		ret = report_json(doctor_json(&doctor));
	else
		print_doctor(&doctor);
	if (!ret && count_of(&doctor, LEVEL_PROBLEM))
		ret = EXIT_DRIFT;
	doctor_close(&doctor);
	return ret;
}
