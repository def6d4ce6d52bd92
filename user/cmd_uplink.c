/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf uplink */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "listing.h"
#include "teardown.h"
#include "uplinks.h"

static int change_uplink(int argc, char **argv)
{
	const char *verb = argv[0];
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("uplink %s takes one device", verb);
	ret = host_change(&host, &err);
	if (!ret && !strcmp(verb, "add"))
		ret = host_start(&host, &err) ? -1 : uplink_add(&host, argv[1], &err);
	else if (!ret)
		ret = host.running ? uplink_delete(&host, argv[1], &err) : 0;
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_done(ret);
}

int cmd_uplink(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "list"))
		return run_listing(argc - 1, argv + 1, &uplinks_listing);
	if (argc > 1 && (!strcmp(argv[1], "add") || !strcmp(argv[1], "del")))
		return change_uplink(argc - 1, argv + 1);
	return report_usage("uplink: list, add or del is wanted (`nsbpf help uplink`)");
}
