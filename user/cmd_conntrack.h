/* SPDX-License-Identifier: GPL-2.0-only */
/* The verbs of nsbpf conntrack. */
#ifndef NSBPF_CMD_CONNTRACK_H
#define NSBPF_CMD_CONNTRACK_H

#include "command.h"
#include "connection_filter.h"

/* argv[0] is the verb; each returns the exit code. */
int conntrack_delete(int argc, char **argv);
int conntrack_flush(int argc, char **argv);
int conntrack_stats(int argc, char **argv);
int conntrack_events(int argc, char **argv);

/* The filter of a verb whose words are nothing but options; `more`: two of its own at most, or NULL. 0, or EXIT_USAGE,
 * reported. */
int conntrack_filter(int argc, char **argv, const struct option_spec *more, struct connection_filter *filter);

#endif
