/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf del */
#include <stdio.h>

#include "command.h"
#include "endpoints.h"

int cmd_del(int argc, char **argv)
{
	bool keep = false;
	const struct option_spec options[] = { { .name = "keep", .flag = &keep }, { .name = NULL } };
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("del takes one name (`nsbpf help del`)");
	if (name_check(argv[1]))
		return report_usage("'%s' is no name", argv[1]);
	ret = host_change(&host, &err) ? -1 : endpoint_delete(&host, argv[1], keep, &err);
	host_close(&host);
	if (ret < 0)
		return report(&err);
	return report_done(ret);
}
