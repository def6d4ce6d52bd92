/* SPDX-License-Identifier: GPL-2.0-only */
/* Compares what should be, by the records in the maps, with what is; and mends it. */
#ifndef NSBPF_CHECK_H
#define NSBPF_CHECK_H

#include "host.h"

#define CHECK_TEXT 128

/* One difference. */
struct finding {
	char object[CHECK_TEXT]; /* "endpoint web" */
	char what[CHECK_TEXT];   /* "route to 10.80.0.2" */
	char should[CHECK_TEXT];
	char is[CHECK_TEXT];
	bool mended;
	bool passes;              /* by itself, with the next command that adds something */
	char why_not[CHECK_TEXT]; /* what came of the attempt to mend it, or what else mends it; "" */
};

/* As many are noted: after that it is not a matter of single ones. */
#define CHECK_MAX_FINDINGS 1000

struct check {
	struct host *host;
	bool repair;
	char object[CHECK_TEXT]; /* that is being looked at */
	struct finding *findings;
	size_t count;
	size_t more; /* that were not noted */
	struct {
		unsigned int networks, endpoints, uplinks, mappings, connections;
	} looked_at;
};

/* What is said from now on is about this object. */
__attribute__((format(printf, 2, 3))) void check_object(struct check *check, const char *fmt, ...);

/* Notes a difference. True: the caller is to mend it, and to say by check_outcome() what came of it. */
__attribute__((format(printf, 4, 5))) bool check_differs(struct check *check, const char *what, const char *should,
							 const char *fmt, ...);
void check_outcome(struct check *check, int ret); /* 0 or -errno */
/* The same of a function that fills in an error: `ret` 0, or anything else with err. */
void check_outcome_of(struct check *check, int ret, const struct error *err);
/* The last difference is one that the next command mends anyway. */
void check_passes(struct check *check);
/* The last difference is nothing that can be mended here; what can. */
__attribute__((format(printf, 2, 3))) void check_advise(struct check *check, const char *fmt, ...);

/* Before all else, for a host that cannot be opened, too: only its paths have to be known. */
void check_pins(struct check *check);

/* The parts, in the order in which they are mended. Each is 0, or -1 with err where it could not look. */
int check_strays(struct check *check, struct error *err);
int check_host(struct check *check, struct error *err);
int check_networks(struct check *check, struct error *err);
int check_endpoints(struct check *check, struct error *err);
int check_uplinks(struct check *check, struct error *err);
int check_mappings(struct check *check, struct error *err);
int check_connections(struct check *check, struct error *err);

/* All of these parts; where nothing runs, only what may be left. With `repair`, what could be mended is looked at
 * again, and only then it is. */
int check_all(struct check *check, struct error *err);
void check_free(struct check *check);

#endif
