/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf network */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "listing.h"
#include "network_options.h"
#include "teardown.h"

/* The options: those behind the first four are `set`'s as well. */
static const char *const keys[] = {
	"subnet", "subnet6", "gateway", "mode", "mtu", "isolate", "filtering", "masquerade"
};
#define KEYS (sizeof(keys) / sizeof(keys[0]))
#define ADD_KEYS 4

static int parse_words(const char *const values[KEYS], const char *name, struct network_options *options)
{
	struct error err;

	if (network_options_name(options, name, &err))
		return report(&err);
	for (size_t i = 0; i < KEYS; i++)
		if (values[i] && network_options_take(options, keys[i], values[i], &err))
			return report_option(&err);
	return network_options_settle(options, "--", &err) ? report(&err) : 0;
}

static int change(const char *verb, const struct network_spec *spec)
{
	struct error err;
	struct host host;
	int ret = host_change(&host, &err);

	if (!ret && !strcmp(verb, "set") && !host.running)
		ret = fail(&err, EXIT_MISSING, "no network %s", spec->name);
	else if (!ret && !strcmp(verb, "set"))
		ret = host_start(&host, &err) ? -1 : network_set(&host, spec, &err);
	else if (!ret && !strcmp(verb, "add"))
		ret = host_start(&host, &err) ? -1 : network_add(&host, spec, &err);
	else if (!ret)
		ret = host.running ? network_delete(&host, spec->name, &err) : 0;
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_done(ret);
}

static int change_network(int argc, char **argv)
{
	struct option_spec specs[KEYS + 1] = { 0 };
	struct network_options options = { 0 };
	const char *verb = argv[0], *values[KEYS] = { 0 };
	const struct option_spec *first = specs;

	for (size_t i = 0; i < KEYS; i++)
		specs[i] = (struct option_spec){ .name = keys[i], .value = &values[i] };
	if (!strcmp(verb, "set"))
		first = specs + ADD_KEYS;
	else if (!strcmp(verb, "del"))
		first = NULL;
	if (parse_options(&argc, argv, first))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("network %s takes one name (`nsbpf help network`)", verb);
	if (parse_words(values, argv[1], &options))
		return EXIT_USAGE;
	return change(verb, &options.spec);
}

int cmd_network(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "list"))
		return run_listing(argc - 1, argv + 1, &networks_listing);
	if (argc > 1 && (!strcmp(argv[1], "add") || !strcmp(argv[1], "set") || !strcmp(argv[1], "del")))
		return change_network(argc - 1, argv + 1);
	return report_usage("network: list, add, set or del is wanted (`nsbpf help network`)");
}
