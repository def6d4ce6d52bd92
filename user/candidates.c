/* SPDX-License-Identifier: GPL-2.0-only */
/* The names that a placeholder of a usage text stands for. */
#include "candidates.h"

#include <dirent.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "listing.h"
#include "netns.h"
#include "settings.h"

void candidates_add(json_t *candidates, const char *word, const char *description)
{
	json_object_set_new(candidates, word, json_string(description ? description : ""));
}

/* Those of what runs; NULL if nothing does. */
static void find_rows(const struct listing *listing, json_t **rows)
{
	struct error err;
	struct host host;

	*rows = NULL;
	if (!host_open(&host, &err) && host.running)
		*rows = listing->build(&host);
	host_close(&host);
}

static void add_column(json_t *candidates, const struct listing *listing, const char *key, const char *description)
{
	json_t *rows;
	const json_t *row;
	size_t i;

	find_rows(listing, &rows);
	json_array_foreach(rows, i, row)
	{
		candidates_add(candidates, json_string_value(json_object_get(row, key)),
			       json_string_value(json_object_get(row, description)));
	}
	json_decref(rows);
}

static void add_endpoints(json_t *candidates, const struct question *question)
{
	(void)question;
	add_column(candidates, &endpoints_listing, "name", "network");
}

static void add_networks(json_t *candidates, const struct question *question)
{
	(void)question;
	add_column(candidates, &networks_listing, "name", "subnet");
}

static void add_uplinks(json_t *candidates, const struct question *question)
{
	(void)question;
	add_column(candidates, &uplinks_listing, "name", "address");
}

/* Those that `add` could take: named, and no endpoint yet. */
static void add_namespaces(json_t *candidates, const struct question *question)
{
	json_t *endpoints = json_object();
	const struct dirent *entry;
	DIR *dir = opendir("/run/netns");

	add_endpoints(endpoints, question);
	while (dir && (entry = readdir(dir)))
		if (*entry->d_name != '.' && !json_object_get(endpoints, entry->d_name))
			candidates_add(candidates, entry->d_name, "");
	if (dir)
		closedir(dir);
	json_decref(endpoints);
}

static void add_devices(json_t *candidates, const struct question *question)
{
	struct if_nameindex *devices = if_nameindex();

	(void)question;
	for (size_t i = 0; devices && devices[i].if_name; i++)
		if (strcmp(devices[i].if_name, "lo") && strncmp(devices[i].if_name, "nsb", 3))
			candidates_add(candidates, devices[i].if_name, "");
	if (devices)
		if_freenameindex(devices);
}

static void add_addresses(json_t *candidates, const struct question *question)
{
	json_t *rows;
	const json_t *row, *address;
	size_t i, j;

	(void)question;
	find_rows(&endpoints_listing, &rows);
	json_array_foreach(rows, i, row)
	{
		json_array_foreach(json_object_get(row, "addresses"), j, address)
		{
			candidates_add(candidates, json_string_value(address),
				       json_string_value(json_object_get(row, "name")));
		}
	}
	json_decref(rows);
}

/* As `unexpose` takes it; without the target, which it need not be told. */
static void add_mapping(json_t *candidates, const json_t *row)
{
	const char *address, *protocol, *bracket;
	char word[128], last[16] = "";
	int first, end;

	if (json_unpack((json_t *)row, "{s:s,s:s,s:i,s:i}", "address", &address, "protocol", &protocol, "first", &first,
			"last", &end))
		return;
	bracket = strchr(address, ':');
	if (end != first)
		snprintf(last, sizeof(last), "-%d", end);
	if (!strcmp(address, "any"))
		snprintf(word, sizeof(word), "%d%s", first, last);
	else
		snprintf(word, sizeof(word), "%s%s%s:%d%s", bracket ? "[" : "", address, bracket ? "]" : "", first,
			 last);
	if (!strcmp(protocol, "udp"))
		strcat(word, "/udp");
	candidates_add(candidates, word, "");
}

static void add_mappings(json_t *candidates, const struct question *question)
{
	json_t *rows;
	const char *endpoint;
	const json_t *row;
	size_t i;

	find_rows(&mappings_listing, &rows);
	json_array_foreach(rows, i, row)
	{
		endpoint = json_string_value(json_object_get(row, "endpoint"));
		if (question->before && endpoint && !strcmp(endpoint, question->before))
			add_mapping(candidates, row);
	}
	json_decref(rows);
}

static void add_settings(json_t *candidates, const struct question *question)
{
	(void)question;
	for (size_t i = 0; i < all_settings_count; i++)
		candidates_add(candidates, all_settings[i].name, all_settings[i].text);
}

static void add_values(json_t *candidates, const struct question *question)
{
	const struct setting *setting = question->before ? setting_find(question->before) : NULL;
	char text[SETTING_TEXT];

	if (!setting)
		return;
	candidates_add(candidates, setting_format(setting, setting->initial, text), "default");
	if (setting->off_bit)
		candidates_add(candidates, setting_format(setting, !setting->initial, text), "");
}

static void add_protocols(json_t *candidates, const struct question *question)
{
	(void)question;
	candidates_add(candidates, "tcp", "");
	candidates_add(candidates, "udp", "");
	candidates_add(candidates, "icmp", "");
}

static void add_verbs(json_t *candidates, const struct question *question)
{
	(void)question;
	for (size_t i = 0; command_at(i); i++)
		candidates_add(candidates, command_at(i)->name, command_at(i)->help);
}

static void leave_files(json_t *candidates, const struct question *question)
{
	(void)question;
	candidates_add(candidates, CANDIDATES_FILES, "");
}

static void leave_commands(json_t *candidates, const struct question *question)
{
	(void)question;
	candidates_add(candidates, CANDIDATES_COMMANDS, "");
}

/* The first that fits is taken; a NULL command fits any. */
static const struct origin {
	const char *command, *placeholder;
	void (*add)(json_t *candidates, const struct question *question);
} origins[] = {
	{ "add", "NAME", add_namespaces },    { "set", "NAME", add_settings }, { "get", "NAME", add_settings },
	{ NULL, "NAME", add_endpoints },      { "network add", "NET", NULL },  { NULL, "NET", add_networks },
	{ "uplink add", "DEV", add_devices }, { NULL, "DEV", add_uplinks },    { "unexpose", "", add_mappings },
	{ NULL, "VALUE", add_values },        { NULL, "SRC", add_addresses },  { NULL, "DST", add_addresses },
	{ NULL, "PROTO", add_protocols },     { NULL, "P", add_protocols },    { NULL, "VERB", add_verbs },
	{ NULL, "FILE", leave_files },        { NULL, "CMD", leave_commands },
};

void candidates_find(json_t *candidates, const struct question *question)
{
	const struct origin *origin = origins, *end = origin + sizeof(origins) / sizeof(origins[0]);

	for (; origin < end; origin++)
		if (span_is(question->placeholder, origin->placeholder) &&
		    (!origin->command || !strcmp(origin->command, question->command)))
			break;
	if (origin < end && origin->add)
		origin->add(candidates, question);
}
