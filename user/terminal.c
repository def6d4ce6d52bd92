/* SPDX-License-Identifier: GPL-2.0-only */
/* Colours and progress, on terminals only. */
#include "terminal.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "command.h"

#define NS_PER_S 1000000000ULL

const char *color(FILE *stream, enum color color)
{
	static const char *const sequences[] = {
		[COLOR_NONE] = "\033[0m",  [COLOR_BOLD] = "\033[1m",     [COLOR_DIM] = "\033[2m",
		[COLOR_GOOD] = "\033[32m", [COLOR_WARNING] = "\033[33m", [COLOR_BAD] = "\033[31m",
	};
	const char *no_color = getenv("NO_COLOR");

	return (no_color && *no_color) || !isatty(fileno(stream)) ? "" : sequences[color];
}

bool terminal_clear(FILE *stream)
{
	if (!isatty(fileno(stream)))
		return false;
	fputs("\033[H\033[J", stream);
	return true;
}

static unsigned long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS_PER_S + now.tv_nsec;
}

void progress_begin(struct progress *progress, const char *what, size_t total)
{
	*progress = (struct progress){ .what = what, .total = total, .begun = now_ns() };
}

void progress_at(struct progress *progress, size_t done)
{
	if (json_output || !progress->total || !isatty(STDERR_FILENO) || now_ns() - progress->begun < NS_PER_S)
		return;
	progress->shown = true;
	fprintf(stderr, "\r%s: %zu of %zu", progress->what, done, progress->total);
	fflush(stderr);
}

void progress_end(struct progress *progress)
{
	if (progress->shown)
		fputs("\r\033[K", stderr);
	progress->shown = false;
}
