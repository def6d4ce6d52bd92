/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf, without a verb: what runs. */
#include <stdio.h>

#include "command.h"
#include "listing.h"
#include "totals.h"

static json_t *rows(const struct host *host, const struct listing *listing)
{
	return host->running ? listing->build(host) : json_array();
}

/* NULL if anything can't be read. */
static json_t *build_status(const struct host *host)
{
	struct totals totals;
	char cookie[32];

	if (totals_read(host, &totals))
		return NULL;
	snprintf(cookie, sizeof(cookie), "%016llx", host->cookie);
	return json_pack("{s:{s:s,s:b,s:o},s:o,s:o,s:o,s:o,s:o,s:o}", "host", "netns_cookie", cookie, "running",
			 host->running, "attach",
			 host->running ? json_string(host->settings->features & FEATURE_TCX ? "tcx" : "clsact")
				       : json_null(),
			 "uplinks", rows(host, &uplinks_listing), "networks", rows(host, &networks_listing),
			 "endpoints", rows(host, &endpoints_listing), "ports", rows(host, &mappings_listing),
			 "connections", totals_connections(&totals), "drops", totals_drops(totals.drops));
}

static void print_section(const json_t *status, const char *title, const char *key, const struct listing *listing)
{
	const json_t *section = json_object_get(status, key);

	printf("\n%s%s\n", title, json_array_size(section) ? "" : ": none");
	print_table(section, listing->columns);
}

static void print_status(const json_t *status)
{
	const json_t *host = json_object_get(status, "host"), *connections = json_object_get(status, "connections");

	if (!json_is_true(json_object_get(host, "running"))) {
		print_idle();
		return;
	}
	printf("host %s, attached by %s, %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " connections\n",
	       json_string_value(json_object_get(host, "netns_cookie")),
	       json_string_value(json_object_get(host, "attach")),
	       json_integer_value(json_object_get(connections, "count")),
	       json_integer_value(json_object_get(connections, "max")));
	print_pressure(connections);
	print_section(status, "uplinks", "uplinks", &uplinks_listing);
	print_section(status, "networks", "networks", &networks_listing);
	print_section(status, "endpoints", "endpoints", &endpoints_listing);
	print_section(status, "exposed ports", "ports", &mappings_listing);
	print_drops("dropped packets", json_object_get(status, "drops"));
}

int cmd_status(int argc, char **argv)
{
	struct error err;
	struct host host;
	json_t *status;
	int ret;

	(void)argc, (void)argv;
	ret = host_open(&host, &err);
	status = ret ? NULL : build_status(&host);
	host_close(&host);
	if (ret)
		return report(&err);
	if (!status)
		return report(&(struct error){ EXIT_SYSTEM, "cannot read what runs here" });
	if (json_output)
		return report_json(status);
	print_status(status);
	json_decref(status);
	return EXIT_DONE;
}
