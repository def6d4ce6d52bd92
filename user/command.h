/* SPDX-License-Identifier: GPL-2.0-only */
/* What a command is, and how it reports. */
#ifndef NSBPF_COMMAND_H
#define NSBPF_COMMAND_H

#include <jansson.h>
#include <stdbool.h>

#include "error.h"

struct command {
	const char *name;
	/* argv[0] is the verb. Returns the exit code. */
	int (*run)(int argc, char **argv);
	const char *arguments; /* for the usage line */
	const char *help;      /* one line */
	const char *examples;  /* for `help VERB`: a line each, or NULL */
};

/* The commands in the order of `help`; NULL behind the last. */
const struct command *command_at(size_t i);
const struct command *command_find(const char *name); /* or NULL */

extern bool json_output; /* -j, --json */

/* Prints the error as one line, or as JSON, and returns its exit code. */
int report(const struct error *err);
/* The same for words that make no sense; always EXIT_USAGE. */
__attribute__((format(printf, 1, 2))) int report_usage(const char *fmt, ...);
/* The same for an option's value, where the text begins with the option's name. */
int report_option(const struct error *err);
/* A change that was made, or did not have to be made (`unchanged`), and what the operator had better know of it, or
 * NULL: prints what there is to say, returns EXIT_DONE. */
int report_change(bool changed, const char *warning);
int report_done(bool changed); /* without a warning */
/* One line more on stderr, of what came out as less than it could be; none with JSON. */
__attribute__((format(printf, 1, 2))) void report_aside(const char *fmt, ...);
/* Prints a listing's JSON and frees it. */
int report_json(json_t *json);

/*
 * Options of the form "--name VALUE" or "--name=VALUE" (or "--name", if it takes none), or "-n VALUE" if they have a
 * letter, anywhere among the words: takes them out of argv, and leaves the others, from argv[1] on, behind `argc`. "--"
 * ends the options.
 */
struct option_spec {
	const char *name;   /* without the dashes; NULL ends the table */
	const char **value; /* NULL: the option is a flag */
	bool *flag;
	const char ***list; /* for options that may be repeated: a NULL-terminated array on the heap */
	char letter;        /* 0: it has none */
};

/* 0, or EXIT_USAGE, reported. */
int parse_options(int *argc, char **argv, const struct option_spec *specs);

int cmd_status(int argc, char **argv);
int cmd_add(int argc, char **argv);
int cmd_del(int argc, char **argv);
int cmd_list(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_shell(int argc, char **argv);
int cmd_expose(int argc, char **argv);
int cmd_unexpose(int argc, char **argv);
int cmd_ports(int argc, char **argv);
int cmd_network(int argc, char **argv);
int cmd_uplink(int argc, char **argv);
int cmd_set(int argc, char **argv);
int cmd_get(int argc, char **argv);
/* The names that `set` and `get` know, and what a value may be. */
void print_settings_help(void);
int cmd_stats(int argc, char **argv);
int cmd_top(int argc, char **argv);
int cmd_metrics(int argc, char **argv);
int cmd_conntrack(int argc, char **argv);
int cmd_check(int argc, char **argv);
int cmd_doctor(int argc, char **argv);
int cmd_save(int argc, char **argv);
int cmd_apply(int argc, char **argv);
int cmd_diff(int argc, char **argv);
int cmd_monitor(int argc, char **argv);
int cmd_why(int argc, char **argv);
int cmd_down(int argc, char **argv);
int cmd_version(int argc, char **argv);
int cmd_help(int argc, char **argv);
int cmd_complete(int argc, char **argv);

#endif
