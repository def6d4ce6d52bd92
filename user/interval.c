/* SPDX-License-Identifier: GPL-2.0-only */
/* The time between one look and the next. */
#include "interval.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS_PER_S 1e9
#define SHORTEST 0.1 /* INTERVAL_RANGE */
#define LONGEST 3600

int interval_parse(const char *text, double *seconds)
{
	size_t digits = strspn(text, "0123456789"), behind = 0;
	double value;

	if (text[digits] == '.')
		behind = 1 + strspn(text + digits + 1, "0123456789");
	if (!digits || behind == 1 || text[digits + behind])
		return -EINVAL;
	value = strtod(text, NULL);
	if (value < SHORTEST || value > LONGEST)
		return -EINVAL;
	*seconds = value;
	return 0;
}

static double now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / NS_PER_S;
}

void interval_begin(struct interval *interval, double seconds)
{
	*interval = (struct interval){ .seconds = seconds, .end = now_seconds() + seconds };
}

double interval_left(const struct interval *interval)
{
	double left = interval->end - now_seconds();

	return left > 0 ? left : 0;
}

void interval_next(struct interval *interval)
{
	double now = now_seconds();

	interval->end += interval->seconds;
	/* What was slept through, or took too long, is not made up for. */
	if (interval->end < now)
		interval->end = now + interval->seconds;
}

void interval_wait(struct interval *interval)
{
	struct timespec at = { .tv_sec = (time_t)interval->end };

	at.tv_nsec = (long)((interval->end - (double)at.tv_sec) * NS_PER_S);
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
	interval_next(interval);
}
