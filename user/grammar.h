/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Reads the usage text of a command (struct command's `arguments`), so that completion needs no second description:
 *
 *	list | add NET [--mtu N|auto] [OPTIONS] | del NET
 *	options: [--isolate on|off] [--state STATE]
 *	state: up, down
 *
 * are three forms; `add` and `NET` are words of the second, `--mtu` with the value `N|auto` is one of its options, and
 * so is `--isolate`, as it refers to the note of that label. What begins with a capital is a placeholder, the rest
 * stands for itself.
 */
#ifndef NSBPF_GRAMMAR_H
#define NSBPF_GRAMMAR_H

#include <stdbool.h>
#include <stddef.h>

/* A part of the text. To begin a walk, `at` is NULL; each next_ below is false behind the last. */
struct span {
	const char *at;
	size_t length;
};

bool span_is(struct span span, const char *text);
bool span_is_placeholder(struct span span);
/* Its name, without what else stands in it: "ADDR" of "ADDR[,ADDR6]", "" of "[ADDR:]P". */
struct span placeholder_name(struct span span);

bool grammar_next_form(const char *text, struct span *form);
/* A form's words in order: no options, and no brackets around all of a word. */
bool grammar_next_word(struct span form, struct span *word);
/* "on", "off" and "ADDR" of "on|off|ADDR". */
bool grammar_next_choice(struct span word, struct span *choice);

struct grammar_option {
	struct span name;  /* with its dashes */
	struct span value; /* of length 0: it takes none */
	bool optional;     /* the value */
};

/* Those in the form itself, then those of the notes that it refers to. */
bool grammar_next_option(const char *text, struct span form, struct grammar_option *option);
/* "up" and "down" of STATE, if a note of that label lists words. */
bool grammar_next_named(const char *text, struct span placeholder, struct span *value);

#endif
