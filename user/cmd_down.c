/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf down */
#include <stdio.h>

#include "command.h"
#include "teardown.h"

int cmd_down(int argc, char **argv)
{
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, NULL))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("down takes no words");
	/* Maps that somebody removed leave nothing to go by but our marks; but what can't be read just now may be
	 * later. */
	ret = host_change(&host, &err);
	if (!ret || host.damaged)
		ret = host_take_down(&host, &err);
	host_close(&host);
	return ret < 0 ? report(&err) : report_done(ret);
}
