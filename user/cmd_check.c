/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf check */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "command.h"
#include "terminal.h"

static size_t count_left(const struct check *check)
{
	size_t left = check->more;

	for (size_t i = 0; i < check->count; i++)
		left += !check->findings[i].mended;
	return left;
}

static json_t *finding_json(const struct finding *finding)
{
	return json_pack("{s:s,s:s,s:s,s:s,s:b,s:s?}", "object", finding->object, "what", finding->what, "should",
			 finding->should, "is", finding->is, "repaired", finding->mended, "remedy",
			 finding->why_not[0] && !finding->mended ? finding->why_not : NULL);
}

static json_t *check_json(const struct check *check)
{
	json_t *findings = json_array();

	for (size_t i = 0; i < check->count; i++)
		json_array_append_new(findings, finding_json(&check->findings[i]));
	return json_pack(
		"{s:b,s:o,s:I,s:{s:I,s:I,s:I,s:I,s:I}}", "ok", !count_left(check), "findings", findings, "not_listed",
		(json_int_t)check->more, "looked_at", "networks", (json_int_t)check->looked_at.networks, "endpoints",
		(json_int_t)check->looked_at.endpoints, "uplinks", (json_int_t)check->looked_at.uplinks, "ports",
		(json_int_t)check->looked_at.mappings, "connections", (json_int_t)check->looked_at.connections);
}

static void print_finding(const struct finding *finding)
{
	enum color shade = finding->mended ? COLOR_GOOD : COLOR_BAD;

	printf("%s%s%s: %s: should be %s, is %s", color(stdout, shade), finding->object, color(stdout, COLOR_NONE),
	       finding->what, finding->should, finding->is);
	if (finding->mended)
		printf(" (repaired)");
	else if (finding->why_not[0])
		printf(" (%s)", finding->why_not);
	putchar('\n');
}

static void print_count(unsigned int count, const char *what, const char *after)
{
	printf("%u %s%s%s", count, what, count == 1 ? "" : "s", after);
}

static void print_well(const struct check *check)
{
	printf("all is as it should be: ");
	print_count(check->looked_at.networks, "network", ", ");
	print_count(check->looked_at.endpoints, "endpoint", ", ");
	print_count(check->looked_at.uplinks, "uplink", ", ");
	print_count(check->looked_at.mappings, "port", ", ");
	print_count(check->looked_at.connections, "connection", "\n");
}

static void print_check(const struct check *check, bool running)
{
	size_t left = count_left(check);

	for (size_t i = 0; i < check->count; i++)
		print_finding(&check->findings[i]);
	if (check->more)
		printf("... and %zu more\n", check->more);
	if (left)
		printf("%zu difference%s%s\n", left, left == 1 ? "" : "s",
		       check->repair ? " left" : " (`nsbpf check --repair` mends what can be mended while it runs)");
	else if (running)
		print_well(check);
	else
		puts("nothing runs here");
}

/* With the lock, as another command at work would look like drift; but where nothing runs looking makes nothing, not
 * even the directory of the lock. */
static int look(struct host *host, struct check *check, struct error *err)
{
	int ret = host_open(host, err);

	if (ret && !host->damaged)
		return -1;
	if (!ret && !host->running && !check->repair)
		return check_all(check, err);
	host_close(host);
	ret = host_change(host, err);
	if (ret && !host->damaged)
		return -1;
	if (!ret && !host->running)
		return check_all(check, err);
	check_pins(check);
	/* What is not pinned may have kept it from being opened. */
	if (ret && check->repair) {
		host_close(host);
		ret = host_change(host, err);
	}
	if (!ret)
		ret = check_all(check, err);
	/* A pin that is missing has been said. */
	return ret && !(host->damaged && check->count) ? -1 : 0;
}

int cmd_check(int argc, char **argv)
{
	struct host host;
	struct check check = { .host = &host };
	const struct option_spec options[] = { { .name = "repair", .flag = &check.repair }, { 0 } };
	struct error err;
	bool running;
	int ret;

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("check takes no words");
	ret = look(&host, &check, &err);
	running = host.running;
	host_close(&host);
	if (!ret && !json_output)
		print_check(&check, running);
	if (ret)
		ret = report(&err);
	else if (json_output)
		ret = report_json(check_json(&check));
	if (!ret && count_left(&check))
		ret = EXIT_DRIFT;
	check_free(&check);
	return ret;
}
