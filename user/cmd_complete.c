/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * nsbpf complete WORDS...: for the shells (docs/completion). The words are those behind `nsbpf`, the last one is not
 * complete yet. Prints what it could become, one a line, with a tab and a description behind where there is one; and
 * nothing, never an error, where it can say nothing.
 */
#include <stdio.h>
#include <string.h>

#include "candidates.h"
#include "cleanup.h"
#include "command.h"
#include "grammar.h"

#define COMMAND_TEXT 64
#define MAX_WORDS 64

/* A command line as far as it has been typed. */
struct line {
	const struct command *command;
	const char *words[MAX_WORDS]; /* those that are no options */
	size_t count;
	struct grammar_option option; /* whose value is being typed; name.at is NULL: none */
	bool plain;                   /* behind "--": no options any more */
	const char *typed;            /* the last word */
};

static json_t *candidates;

/* "network set", if the form's first word stands for itself. */
static const char *command_text(const struct line *line, struct span form, char text[COMMAND_TEXT])
{
	struct span word = { NULL, 0 };

	snprintf(text, COMMAND_TEXT, "%s", line->command->name);
	if (line->count && grammar_next_word(form, &word) && !span_is_placeholder(word))
		snprintf(text, COMMAND_TEXT, "%s %s", line->command->name, line->words[0]);
	return text;
}

static void offer_literal(struct span span)
{
	char word[COMMAND_TEXT];

	snprintf(word, sizeof(word), "%.*s", (int)span.length, span.at);
	candidates_add(candidates, word, "");
}

/* All that a word, or an option's value, of the usage text may be. */
static void offer(const struct line *line, struct span form, struct span word)
{
	struct question question = { .before = line->count ? line->words[line->count - 1] : NULL };
	struct span choice = { NULL, 0 };
	char command[COMMAND_TEXT];

	question.command = command_text(line, form, command);
	while (grammar_next_choice(word, &choice)) {
		struct span value = { NULL, 0 };

		question.placeholder = placeholder_name(choice);
		if (!span_is_placeholder(choice) && !span_is(choice, "-"))
			offer_literal(choice);
		else if (span_is_placeholder(choice))
			candidates_find(candidates, &question);
		while (question.placeholder.length &&
		       grammar_next_named(line->command->arguments, question.placeholder, &value))
			offer_literal(value);
	}
}

static bool word_fits(struct span word, const char *typed)
{
	struct span choice = { NULL, 0 };

	while (grammar_next_choice(word, &choice))
		if (span_is_placeholder(choice) || span_is(choice, typed))
			return true;
	return false;
}

/* Whether the words so far are of this form; then `next` is what it says of the word that comes (`at` NULL: nothing).
 */
static bool form_fits(const struct line *line, struct span form, struct span *next)
{
	struct span word = { NULL, 0 };

	for (size_t i = 0; i < line->count; i++)
		if (!grammar_next_word(form, &word) || !word_fits(word, line->words[i]))
			return false;
	*next = grammar_next_word(form, &word) ? word : (struct span){ NULL, 0 };
	return true;
}

static bool find_option(const struct line *line, const char *name, size_t length, struct grammar_option *found)
{
	struct span form = { NULL, 0 }, next;

	while (grammar_next_form(line->command->arguments, &form)) {
		struct grammar_option option = {};

		if (!form_fits(line, form, &next))
			continue;
		while (grammar_next_option(line->command->arguments, form, &option))
			if (option.name.length == length && !strncmp(option.name.at, name, length)) {
				*found = option;
				return true;
			}
	}
	return false;
}

/* Those of the words that are options, and their values, do not count. */
static void take_words(struct line *line, int argc, char **argv)
{
	for (int i = 0; i + 1 < argc; i++) {
		struct grammar_option option = {};

		if (line->plain || *argv[i] != '-') {
			if (line->count < MAX_WORDS)
				line->words[line->count++] = argv[i];
		} else if (!strcmp(argv[i], "--")) {
			line->plain = true;
		} else if (!strchr(argv[i], '=') && find_option(line, argv[i], strlen(argv[i]), &option) &&
			   option.value.length && (!option.optional || *argv[i + 1] != '-')) {
			if (i + 2 == argc)
				line->option = option;
			i++;
		}
	}
}

static void offer_form(const struct line *line, struct span form)
{
	struct grammar_option option = {};
	struct span next;

	if (!form_fits(line, form, &next))
		return;
	if (*line->typed != '-' || line->plain) {
		if (next.at)
			offer(line, form, next);
		return;
	}
	while (grammar_next_option(line->command->arguments, form, &option))
		offer_literal(option.name);
}

/* `prefix` is what the candidates have in front: "--network=" where that was typed. */
static void print_candidates(const char *prefix, const char *typed)
{
	const char *word;
	json_t *description;

	json_object_foreach(candidates, word, description)
	{
		const char *text = json_string_value(description);

		if (*word != ':' && strncmp(word, typed, strlen(typed)))
			continue;
		printf("%s%s%s%s\n", *word == ':' ? "" : prefix, word, text && *text ? "\t" : "", text ? text : "");
	}
}

static void complete_words(struct line *line, int argc, char **argv)
{
	const char *value = strchr(line->typed, '=');
	struct span form = { NULL, 0 };
	char prefix[COMMAND_TEXT] = "";

	take_words(line, argc, argv);
	if (!line->option.name.at && !line->plain && *line->typed == '-' && value &&
	    find_option(line, line->typed, value - line->typed, &line->option)) {
		snprintf(prefix, sizeof(prefix), "%.*s", (int)(value + 1 - line->typed), line->typed);
		line->typed = value + 1;
	}
	while (grammar_next_form(line->command->arguments, &form))
		if (!line->option.name.at)
			offer_form(line, form);
		else if (find_option(line, line->option.name.at, line->option.name.length, &line->option))
			offer(line, form, line->option.value);
	print_candidates(prefix, line->typed);
}

static void complete_verb(const char *typed)
{
	for (size_t i = 0; command_at(i); i++)
		candidates_add(candidates, command_at(i)->name, command_at(i)->help);
	if (*typed == '-') {
		candidates_add(candidates, "--json", "output for programs");
		candidates_add(candidates, "--help", "");
		candidates_add(candidates, "--version", "");
	}
	print_candidates("", typed);
}

int cmd_complete(int argc, char **argv)
{
	struct line line = {};

	for (argc--, argv++; argc > 1 && (!strcmp(*argv, "-j") || !strcmp(*argv, "--json"));) {
		argc--;
		argv++;
	}
	candidates = json_object();
	if (argc <= 1)
		complete_verb(argc ? *argv : "");
	if (argc > 1)
		line.command = command_find(*argv);
	line.typed = argc ? argv[argc - 1] : "";
	if (line.command)
		complete_words(&line, argc - 1, argv + 1);
	json_decref(candidates);
	return EXIT_DONE;
}
