/* SPDX-License-Identifier: GPL-2.0-only */
/* What only people see: colours, and how far long work has come. */
#ifndef NSBPF_TERMINAL_H
#define NSBPF_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum color {
	COLOR_NONE, /* ends any other */
	COLOR_BOLD,
	COLOR_DIM,
	COLOR_GOOD,
	COLOR_WARNING,
	COLOR_BAD,
};

/* The escape sequence; "" where the stream is no terminal, or NO_COLOR is set (no-color.org). */
const char *color(FILE *stream, enum color color);

/* Makes room for output that takes the place of the last; false, and nothing done, where the stream is no terminal. */
bool terminal_clear(FILE *stream);

/* Work that may take longer than a second: then, if stderr is a terminal and output is for people, one line tells how
 * far it is, and goes when it is done. */
struct progress {
	const char *what; /* "adding endpoints" */
	size_t total;
	unsigned long long begun; /* ns */
	bool shown;
};

void progress_begin(struct progress *progress, const char *what, size_t total);
void progress_at(struct progress *progress, size_t done);
void progress_end(struct progress *progress);

#endif
