/* SPDX-License-Identifier: GPL-2.0-only */
/* What `monitor` and `conntrack events` have in common: they show what comes until somebody ends them. */
#ifndef NSBPF_LISTEN_H
#define NSBPF_LISTEN_H

#include <jansson.h>

#include "events.h"

struct listening {
	unsigned int kinds;  /* a mask of LISTEN() */
	unsigned long count; /* ends after so many; 0: does not */
	unsigned long seconds;
	bool silent; /* stdout is not for lines */
	/* 1 if it was meant, and shown; 0 if not; -errno. */
	int (*show)(void *arg, void *record, size_t size);
	void *arg;
};

/* "--count" and "--time", if they are given. 0, or an exit code, reported. */
int listening_limits(struct listening *listening, const char *count, const char *seconds);
/* The exit code; what is wrong has been reported. */
int listen_until_end(const struct listening *listening);

/* A line of JSON, which is freed: 1, or -ENOMEM. */
int listening_print(json_t *json);

#endif
