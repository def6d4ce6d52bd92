/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf set, nsbpf get */
#include <stdio.h>

#include "command.h"
#include "listing.h"
#include "settings_change.h"
#include "teardown.h"

void print_settings_help(void)
{
	char initial[SETTING_TEXT];

	putchar('\n');
	for (size_t i = 0; i < all_settings_count; i++)
		printf("  %-23s  %s (%s)\n", all_settings[i].name, all_settings[i].text,
		       setting_format(&all_settings[i], all_settings[i].initial, initial));
	printf("\n  A time is a number of seconds, or one with s, m, h or d behind it.\n"
	       "  What there is room for can grow while traffic flows. Set before anything else, it begins a host.\n");
}

/* Says so if a value is less than the RFC asks for: text, or NULL. */
static const char *below_floor(const struct setting *setting, __u32 value, char *text, size_t size)
{
	if (value >= setting->floor)
		return NULL;
	snprintf(text, size, "%s: %us is less than the %us that %s asks for", setting->name, value, setting->floor,
		 setting->rfc);
	return text;
}

int cmd_set(int argc, char **argv)
{
	const struct setting *setting;
	char text[256];
	struct error err;
	struct host host;
	__u32 value;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 3)
		return report_usage("set takes a name and a value (`nsbpf help set` lists them)");
	setting = setting_find(argv[1]);
	if (!setting)
		return report_usage("no setting %s (`nsbpf help set` lists them)", argv[1]);
	if (setting_parse(setting, argv[2], &value))
		return report_usage("%s %s: %s is wanted", argv[1], argv[2], setting_range(setting, text));
	ret = host_change(&host, &err) ? -1 : setting_change(&host, setting, value, &err);
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_change(ret, ret ? below_floor(setting, value, text, sizeof(text)) : NULL);
}

static json_t *value_for_programs(const struct setting *setting, __u32 value)
{
	char text[SETTING_TEXT];

	switch (setting->kind) {
	case SETTING_SWITCH:
		return json_boolean(value);
	case SETTING_LIMIT:
		return value ? json_integer(value) : json_null();
	case SETTING_PORTS:
		return value ? json_string(setting_format(setting, value, text)) : json_null();
	default:
		return json_integer(value);
	}
}

static json_t *for_programs(const struct setting *setting, const struct settings *settings)
{
	return json_pack("{s:s,s:o,s:o,s:o,s:s?,s:s}", "name", setting->name, "value",
			 value_for_programs(setting, setting_get(setting, settings)), "default",
			 value_for_programs(setting, setting->initial), "floor",
			 setting->floor ? json_integer(setting->floor) : json_null(), "rfc", setting->rfc, "text",
			 setting->text);
}

/* As `set` takes it. */
static json_t *value_for_people(const struct setting *setting, __u32 value)
{
	char text[SETTING_TEXT];

	return json_string(setting_format(setting, value, text));
}

static json_t *for_people(const struct setting *setting, const struct settings *settings)
{
	return json_pack("{s:s,s:o,s:o,s:o,s:s}", "name", setting->name, "value",
			 value_for_people(setting, setting_get(setting, settings)), "default",
			 value_for_people(setting, setting->initial), "floor",
			 setting->floor ? value_for_people(setting, setting->floor) : json_null(), "text",
			 setting->text);
}

static int show_all(const struct settings *settings)
{
	static const struct column columns[] = { { "NAME", "name" },   { "VALUE", "value" },  { "DEFAULT", "default" },
						 { "FLOOR", "floor" }, { "MEANING", "text" }, { NULL, NULL } };
	json_t *rows = json_array();

	for (size_t i = 0; i < all_settings_count; i++)
		json_array_append_new(rows, (json_output ? for_programs : for_people)(&all_settings[i], settings));
	if (json_output)
		return report_json(rows);
	print_table(rows, columns);
	json_decref(rows);
	return EXIT_DONE;
}

static int show_one(const struct setting *setting, const struct settings *settings)
{
	char text[SETTING_TEXT];

	if (json_output)
		return report_json(for_programs(setting, settings));
	puts(setting_format(setting, setting_get(setting, settings), text));
	return EXIT_DONE;
}

int cmd_get(int argc, char **argv)
{
	const struct setting *setting;
	struct settings settings;
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc > 2)
		return report_usage("get takes one name, or none");
	setting = argc == 2 ? setting_find(argv[1]) : NULL;
	if (argc == 2 && !setting)
		return report_usage("no setting %s (`nsbpf get` lists them)", argv[1]);
	/* Where nothing runs: what the next `add` begins with. */
	settings_init(&settings);
	ret = host_open(&host, &err);
	if (host.running)
		settings = *host.settings;
	host_close(&host);
	if (ret)
		return report(&err);
	return setting ? show_one(setting, &settings) : show_all(&settings);
}
