/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf apply, nsbpf diff */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "plan.h"
#include "teardown.h"
#include "terminal.h"
#include "uplinks.h"

static const char *const object_names[] = {
	[OBJECT_SETTING] = "setting",   [OBJECT_UPLINK] = "uplink", [OBJECT_NETWORK] = "network",
	[OBJECT_ENDPOINT] = "endpoint", [OBJECT_PORT] = "port",
};

static const char *const action_names[] = {
	[CHANGE_ADD] = "add",
	[CHANGE_SET] = "set",
	[CHANGE_RENEW] = "renew",
	[CHANGE_REMOVE] = "remove",
};

static const char *const state_names[] = {
	[CHANGE_TODO] = "planned",
	[CHANGE_HALF] = "removed",
	[CHANGE_DONE] = "done",
};

static void print_differences(const struct change *change)
{
	const json_t *one;
	size_t i;

	json_array_foreach(change->differs, i, one)
	{
		printf("%s ", i ? "," : ":");
		if (change->object != OBJECT_SETTING)
			printf("%s ", json_string_value(json_object_get(one, "key")));
		printf("%s -> %s", json_string_value(json_object_get(one, "is")),
		       json_string_value(json_object_get(one, "should")));
	}
}

static void print_change(const struct change *change)
{
	static const enum color colors[] = {
		[CHANGE_ADD] = COLOR_GOOD,
		[CHANGE_SET] = COLOR_WARNING,
		[CHANGE_RENEW] = COLOR_WARNING,
		[CHANGE_REMOVE] = COLOR_BAD,
	};
	static const char signs[] = {
		[CHANGE_ADD] = '+',
		[CHANGE_SET] = '~',
		[CHANGE_RENEW] = '~',
		[CHANGE_REMOVE] = '-',
	};
	char ports[EXPOSURE_TEXT] = "";

	if (change->object == OBJECT_PORT)
		exposure_format(&change->exposure, ports);
	printf("%s%c %s %s%s%s%s", color(stdout, colors[change->action]), signs[change->action],
	       object_names[change->object], change->name, *ports ? " " : "", ports,
	       change->action == CHANGE_RENEW ? " (made anew)" : "");
	print_differences(change);
	printf("%s\n", color(stdout, COLOR_NONE));
}

static void print_done(const struct change *change)
{
	if (!json_output)
		print_change(change);
}

/* For people: what has been done stands above. */
static void print_undone(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		if (change->state == CHANGE_DONE)
			continue;
		fputs(change->state == CHANGE_HALF ? "removed, not made anew: " : "not done: ", stdout);
		print_change(change);
	}
}

static json_t *change_json(const struct change *change)
{
	bool is_port = change->object == OBJECT_PORT;
	char ports[EXPOSURE_TEXT];

	return json_pack("{s:s,s:s,s:s,s:s?,s:O?,s:s}", "action", action_names[change->action], "object",
			 object_names[change->object], "name", change->name, "ports",
			 is_port ? exposure_format(&change->exposure, ports) : NULL, "differs", change->differs,
			 "state", state_names[change->state]);
}

static int print_json(const struct plan *plan, const char *warning)
{
	json_t *changes = json_array();

	for (size_t i = 0; i < plan->count; i++)
		if (json_array_append_new(changes, change_json(&plan->changes[i])))
			break;
	if (json_array_size(changes) < plan->count) {
		json_decref(changes);
		return report(&(struct error){ EXIT_SYSTEM, "out of memory" });
	}
	return report_json(
		json_pack("{s:b,s:o,s:s?}", "changed", plan->count > 0, "changes", changes, "warning", warning));
}

static int report_plan(const struct plan *plan)
{
	if (json_output)
		return print_json(plan, NULL);
	for (size_t i = 0; i < plan->count; i++)
		print_change(&plan->changes[i]);
	return plan->count ? EXIT_DONE : report_done(false);
}

/* `apply --dry-run`, `diff` */
static int show(const char *file, bool prune, int code_if_different)
{
	_cleanup_config_ struct config config = { 0 };
	_cleanup_plan_ struct plan plan = { 0 };
	struct error err;
	struct host host;
	int ret;

	if (config_read(file, &config, &err))
		return report(&err);
	ret = host_open(&host, &err) ? -1 : plan_make(&host, &config, prune, &plan, &err);
	host_close(&host);
	if (ret)
		return report(&err);
	ret = report_plan(&plan);
	return ret == EXIT_DONE && plan.count ? code_if_different : ret;
}

/* What new endpoints lack: text, or NULL. */
static const char *warning_of(const struct host *host, const struct plan *plan, char *text, size_t size)
{
	size_t used = 0, without = 0, made = 0;
	const char *why = NULL;

	for (size_t i = 0; i < plan->count; i++) {
		const struct change *change = &plan->changes[i];

		if (change->object != OBJECT_ENDPOINT ||
		    (change->action != CHANGE_ADD && change->action != CHANGE_RENEW))
			continue;
		made++;
		if (!change->endpoint->options.spec.without_ipv6)
			continue;
		why = change->endpoint->options.spec.without_ipv6;
		without++;
	}
	if (without)
		used = snprintf(text, size, "%zu of %zu new endpoints have no IPv6: %s", without, made, why);
	if (made && !uplinks_exist(host))
		used += snprintf(text + used, size - used,
				 "%sno uplink, so no way outside: there is no default route (`nsbpf uplink add DEV` "
				 "names one)",
				 used ? "; " : "");
	return used ? text : NULL;
}

/* `apply`. A host that is as the file says already is brought up to date all the same, as by every `add`. */
static int carry_out(struct plan *plan, struct host *host, struct error *err)
{
	if (!plan->count && !host->running)
		return 0;
	return plan_carry_out(plan, host, print_done, err);
}

static int report_failure(const struct plan *plan, const struct error *err)
{
	struct error whole;
	size_t done = 0;

	for (size_t i = 0; i < plan->count; i++)
		done += plan->changes[i].state == CHANGE_DONE;
	if (json_output)
		print_json(plan, NULL);
	else
		print_undone(plan);
	fflush(stdout);
	fail(&whole, err->code, "%s (%zu of %zu changes are done)", err->text, done, plan->count);
	return report(&whole);
}

static bool has_begun(const struct plan *plan)
{
	for (size_t i = 0; i < plan->count; i++)
		if (plan->changes[i].state != CHANGE_TODO)
			return true;
	return false;
}

static int apply(const char *file, bool prune)
{
	_cleanup_config_ struct config config = { 0 };
	_cleanup_plan_ struct plan plan = { 0 };
	const char *warning = NULL;
	struct error err;
	struct host host;
	bool planned;
	char text[512];
	int ret;

	if (config_read(file, &config, &err))
		return report(&err);
	ret = host_change(&host, &err) ? -1 : plan_make(&host, &config, prune, &plan, &err);
	planned = !ret;
	if (planned)
		ret = carry_out(&plan, &host, &err);
	if (!ret)
		warning = warning_of(&host, &plan, text, sizeof(text));
	/* What has been done is not undone for what could not be. */
	host_finish(&host, ret && !has_begun(&plan));
	if (ret)
		return planned ? report_failure(&plan, &err) : report(&err);
	if (json_output)
		return print_json(&plan, warning);
	return report_change(plan.count > 0, warning);
}

int cmd_apply(int argc, char **argv)
{
	bool prune = false, dry_run = false;
	const struct option_spec options[] = {
		{ .name = "prune", .flag = &prune },
		{ .name = "dry-run", .flag = &dry_run },
		{ .name = NULL },
	};

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("apply takes one file, - for stdin (`nsbpf help apply`)");
	return dry_run ? show(argv[1], prune, EXIT_DONE) : apply(argv[1], prune);
}

int cmd_diff(int argc, char **argv)
{
	bool prune = false;
	const struct option_spec options[] = { { .name = "prune", .flag = &prune }, { .name = NULL } };

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("diff takes one file, - for stdin (`nsbpf help diff`)");
	return show(argv[1], prune, EXIT_DRIFT);
}
