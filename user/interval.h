/* SPDX-License-Identifier: GPL-2.0-only */
/* Doing something again and again. */
#ifndef NSBPF_INTERVAL_H
#define NSBPF_INTERVAL_H

/* How often: "1", "0.5". 0, or -EINVAL for anything that is not INTERVAL_RANGE. */
#define INTERVAL_RANGE "0.1 to 3600 seconds"
int interval_parse(const char *text, double *seconds);

/* Counted from when the first one began, however long the work between them takes. */
struct interval {
	double seconds;
	double end; /* of this one; CLOCK_MONOTONIC */
};

void interval_begin(struct interval *interval, double seconds);
/* Seconds until it ends; 0 if it has. */
double interval_left(const struct interval *interval);
void interval_next(struct interval *interval);
/* Sleeps until the next one. */
void interval_wait(struct interval *interval);

#endif
