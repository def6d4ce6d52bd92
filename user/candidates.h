/* SPDX-License-Identifier: GPL-2.0-only */
/* The names that a placeholder of a usage text stands for, from what runs now. */
#ifndef NSBPF_CANDIDATES_H
#define NSBPF_CANDIDATES_H

#include <jansson.h>

#include "grammar.h"

/* What the shell knows better: its answer is one of these in place of candidates. */
#define CANDIDATES_FILES ":files"
#define CANDIDATES_COMMANDS ":commands"

struct question {
	const char *command;     /* "expose", or with its action "network set" */
	struct span placeholder; /* its name */
	const char *before;      /* the word before the one that is asked for, or NULL */
};

/* Adds candidates, with a description or "", as keys and values. Where nothing is to be found it adds nothing. */
void candidates_add(json_t *candidates, const char *word, const char *description);
void candidates_find(json_t *candidates, const struct question *question);

#endif
