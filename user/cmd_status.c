/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf, without a verb: what runs. */
#include <bpf/libbpf.h>
#include <stdio.h>

#include "command.h"
#include "drops.h"
#include "listing.h"

static json_t *build_drops(const struct host *host)
{
	unsigned long long counts[DROP_REASONS] = { 0 };
	json_t *json = json_object();

	if (host->running && drops_read(host, counts)) {
		json_decref(json);
		return NULL;
	}
	for (int i = 0; i < DROP_REASONS; i++)
		json_object_set_new(json, drop_name(i), json_integer(counts[i]));
	return json;
}

static json_t *build_connections(const struct host *host)
{
	struct pressure pressure = { 0 };
	struct usage all = { 0 };
	__u32 max = NSBPF_CONNECTIONS;

	if (host->running) {
		max = host->settings->connections;
		pressure = *host->pressure;
		all = host->usage[0];
	}
	return json_pack("{s:I,s:i,s:I,s:I,s:I}", "count", (json_int_t)all.connections, "max", (int)max, "nat_ports",
			 (json_int_t)all.ports, "gave_way", (json_int_t)pressure.gave_way, "overlaps",
			 (json_int_t)pressure.overlaps);
}

static json_t *rows(const struct host *host, const struct listing *listing)
{
	return host->running ? listing->build(host) : json_array();
}

/* NULL if anything can't be read. */
static json_t *build_status(const struct host *host)
{
	char cookie[32];

	snprintf(cookie, sizeof(cookie), "%016llx", host->cookie);
	return json_pack("{s:{s:s,s:b,s:o},s:o,s:o,s:o,s:o,s:o,s:o}", "host", "netns_cookie", cookie, "running",
			 host->running, "attach",
			 host->running ? json_string(host->settings->features & FEATURE_TCX ? "tcx" : "clsact")
				       : json_null(),
			 "uplinks", rows(host, &uplinks_listing), "networks", rows(host, &networks_listing),
			 "endpoints", rows(host, &endpoints_listing), "ports", rows(host, &mappings_listing),
			 "connections", build_connections(host), "drops", build_drops(host));
}

static void print_section(const json_t *status, const char *title, const char *key, const struct listing *listing)
{
	const json_t *section = json_object_get(status, key);

	printf("\n%s%s\n", title, json_array_size(section) ? "" : ": none");
	print_table(section, listing->columns);
}

static void print_drops(const json_t *drops)
{
	bool any = false;

	for (int i = 0; i < DROP_REASONS; i++) {
		json_int_t count = json_integer_value(json_object_get(drops, drop_name(i)));

		if (!count)
			continue;
		if (!any)
			printf("\ndropped packets\n");
		any = true;
		printf("%10" JSON_INTEGER_FORMAT "  %s: %s\n", count, drop_name(i), drop_text(i));
	}
}

static void print_pressure(const json_t *connections)
{
	json_int_t gave_way = json_integer_value(json_object_get(connections, "gave_way"));
	json_int_t overlaps = json_integer_value(json_object_get(connections, "overlaps"));

	if (gave_way || overlaps)
		printf("lack of room: %" JSON_INTEGER_FORMAT " connections gave way, %" JSON_INTEGER_FORMAT
		       " had to share a NAT port\n",
		       gave_way, overlaps);
}

static void print_status(const json_t *status)
{
	const json_t *host = json_object_get(status, "host"), *connections = json_object_get(status, "connections");

	if (!json_is_true(json_object_get(host, "running"))) {
		printf("nothing runs here (`nsbpf add NAME` begins, `nsbpf help` lists the commands)\n");
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
	print_drops(json_object_get(status, "drops"));
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
