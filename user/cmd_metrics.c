/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf metrics */
#include <stdio.h>

#include "command.h"
#include "metrics.h"

/* Takes the families. */
static int show(json_t *families)
{
	if (json_output)
		return report_json(families);
	metrics_write(stdout, families);
	json_decref(families);
	return fflush(stdout) ? report(&(struct error){ EXIT_SYSTEM, "cannot write the metrics" }) : EXIT_DONE;
}

/* The same. */
static int store(const char *path, json_t *families)
{
	struct error err;
	int ret = metrics_write_file(path, families, &err);

	json_decref(families);
	return ret ? report(&err) : report_done(true);
}

int cmd_metrics(int argc, char **argv)
{
	const char *path = NULL;
	const struct option_spec options[] = { { .name = "textfile", .value = &path }, { 0 } };
	json_t *families;
	struct error err;
	struct host host;
	int ret;

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("metrics takes no words");
	if (path && !*path)
		return report_usage("--textfile needs the name of a file");
	ret = host_open(&host, &err);
	families = ret ? NULL : metrics_build(&host);
	host_close(&host);
	if (ret)
		return report(&err);
	if (!families)
		return report(&(struct error){ EXIT_SYSTEM, "cannot read the counters" });
	return path ? store(path, families) : show(families);
}
