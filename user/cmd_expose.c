/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf expose, nsbpf unexpose */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "mappings.h"
#include "teardown.h"

static int parse_words(int argc, char **argv, const char **from, struct exposure *exposure)
{
	struct error err;

	if (argc != 3)
		return report_usage("%s takes a name and ports (`nsbpf help %s`)", argv[0], argv[0]);
	if (name_check(argv[1]))
		return report_usage("'%s' is no name", argv[1]);
	strcpy(exposure->endpoint, argv[1]);
	if (exposure_take_ports(exposure, argv[2], &err))
		return report(&err);
	for (size_t i = 0; from && from[i]; i++)
		if (exposure_take_source(exposure, from[i], &err))
			return report_option(&err);
	return 0;
}

/* The host's own sockets find exposed ports by way of hooks in cgroup2. */
static const char *warning_without_hooks(const struct host *host)
{
	if (host->settings->features & FEATURE_HOST_SOCKETS)
		return NULL;
	return "this host itself cannot reach it by its own addresses: no cgroup2 is mounted";
}

int cmd_expose(int argc, char **argv)
{
	_cleanup_free_ const char **from = NULL;
	const struct option_spec options[] = { { .name = "from", .list = &from }, { .name = NULL } };
	struct exposure exposure = { 0 };
	const char *warning = NULL;
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, options) || parse_words(argc, argv, from, &exposure))
		return EXIT_USAGE;
	ret = host_change(&host, &err);
	if (!ret && !host.running)
		ret = fail(&err, EXIT_MISSING, "no endpoint %s (`nsbpf add` makes one)", argv[1]);
	if (!ret)
		ret = host_start(&host, &err) ? -1 : mapping_add(&host, &exposure, &err);
	if (ret > 0)
		warning = warning_without_hooks(&host);
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_change(ret, warning);
}

int cmd_unexpose(int argc, char **argv)
{
	struct exposure exposure = { 0 };
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, NULL) || parse_words(argc, argv, NULL, &exposure))
		return EXIT_USAGE;
	ret = host_change(&host, &err) ? -1 : mapping_delete(&host, exposure.endpoint, &exposure.ports, &err);
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_done(ret);
}
