/* SPDX-License-Identifier: GPL-2.0-only */
/* From the words to the command; commands.c has the table. */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "terminal.h"

int cmd_version(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		return report_usage("version takes no words");
	printf("nsbpf %s\n", NSBPF_VERSION);
	return EXIT_DONE;
}

/* What the commands are about, from this one on. */
static const char *heading(const struct command *command)
{
	static const struct {
		int (*first)(int argc, char **argv);
		const char *text;
	} headings[] = {
		{ cmd_add, "namespaces and their ports" }, { cmd_network, "networks" },
		{ cmd_conntrack, "what goes on" },         { cmd_check, "whether all is well" },
		{ cmd_set, "the host as a whole" },        { cmd_version, "nsbpf itself" },
	};

	for (size_t i = 0; i < sizeof(headings) / sizeof(headings[0]); i++)
		if (headings[i].first == command->run)
			return headings[i].text;
	return NULL;
}

static void print_usage(void)
{
	const struct command *command;

	printf("usage: nsbpf [-j|--json] [VERB ...]\n\n"
	       "Without a verb: what runs now.\n\n");
	for (size_t i = 0; (command = command_at(i)); i++) {
		if (heading(command))
			printf("%s%s%s%s\n", i ? "\n" : "", color(stdout, COLOR_BOLD), heading(command),
			       color(stdout, COLOR_NONE));
		printf("  %-9s  %s\n", command->name, command->help);
	}
	printf("\n`nsbpf help VERB` shows a command's words.\n");
}

static void print_examples(const char *examples)
{
	const char *line = examples, *end;

	printf("\n");
	for (; *line; line = *end ? end + 1 : end) {
		end = strchrnul(line, '\n');
		printf("  %.*s\n", (int)(end - line), line);
	}
}

int cmd_help(int argc, char **argv)
{
	const struct command *command;

	if (argc > 2)
		return report_usage("help takes one verb");
	if (argc == 1) {
		print_usage();
		return EXIT_DONE;
	}
	command = command_find(argv[1]);
	if (!command)
		return report_usage("no command %s (`nsbpf help` lists them)", argv[1]);
	printf("nsbpf %s%s%s\n\n  %s\n", command->name, *command->arguments ? " " : "", command->arguments,
	       command->help);
	if (command->run == cmd_set || command->run == cmd_get)
		print_settings_help();
	if (command->examples)
		print_examples(command->examples);
	return EXIT_DONE;
}

static bool is_json(const char *word)
{
	return !strcmp(word, "-j") || !strcmp(word, "--json");
}

/* Takes -j out from among the words, wherever it stands: an error is JSON, too, whichever word it is about. */
static void take_json(int *argc, char **argv)
{
	bool options = true;
	int kept = 1;

	for (int i = 1; i < *argc; i++) {
		options = options && strcmp(argv[i], "--");
		if (options && is_json(argv[i]))
			json_output = true;
		else
			argv[kept++] = argv[i];
	}
	*argc = kept;
}

/* What follows these are somebody else's words: of the command to be run, or of one that is being typed. */
static bool has_own_words(const char *verb)
{
	return !strcmp(verb, "exec") || !strcmp(verb, "complete");
}

static int run(int argc, char **argv)
{
	const struct command *command;

	while (argc > 1 && is_json(argv[1])) {
		json_output = true;
		argc--;
		argv++;
	}
	if (argc > 1 && !has_own_words(argv[1]))
		take_json(&argc, argv);
	if (argc == 1)
		return cmd_status(1, argv);
	if (!strcmp(argv[1], "-h") || !strcmp(argv[1], "--help")) {
		print_usage();
		return EXIT_DONE;
	}
	if (!strcmp(argv[1], "--version"))
		return cmd_version(argc - 1, argv + 1);
	/* For the shells only, so it is not in the table that people see. */
	if (!strcmp(argv[1], "complete"))
		return cmd_complete(argc - 1, argv + 1);
	command = command_find(argv[1]);
	if (!command)
		return report_usage("no command %s (`nsbpf help` lists them)", argv[1]);
	return command->run(argc - 1, argv + 1);
}

int main(int argc, char **argv)
{
	int ret = run(argc, argv);

	/* A full disk must not look like a short listing. */
	if ((fflush(stdout) || ferror(stdout)) && ret == EXIT_DONE)
		return report(&(struct error){ EXIT_SYSTEM, "cannot write the output" });
	return ret;
}
