/* SPDX-License-Identifier: GPL-2.0-only */
/* What would become of a packet, and why. */
#ifndef NSBPF_EXPLAIN_H
#define NSBPF_EXPLAIN_H

#include "drop_advice.h"
#include "host.h"

enum origin {
	ORIGIN_ENDPOINT,
	ORIGIN_OUTSIDE,
	ORIGIN_HOST,
};

struct question {
	struct tuple tuple;
	bool established;  /* see packet_build.h */
	unsigned int size; /* of the IP datagram; 0: the least */
	enum origin origin;
	unsigned int slot; /* of ORIGIN_ENDPOINT */
};

enum outcome {
	OUTCOME_FORWARDED,
	OUTCOME_HOST, /* to the host's own stack, as if nsbpf were not there */
	OUTCOME_DROPPED,
};

/* What a stage of the datapath made of it. */
struct stage {
	const char *name; /* "route" */
	char text[256];
};

/* What is none of the datapath's affair, and stops the packet in spite of it. */
struct obstacle {
	char text[256];
	char remedy[160];
};

struct explanation {
	struct question question;
	struct stage stages[12];
	size_t stage_count;
	enum outcome outcome;
	char verdict[160];        /* in words */
	enum drop_reason reason;  /* of OUTCOME_DROPPED */
	const char *answer;       /* the ICMP error that its sender gets, or NULL */
	char advice[ADVICE_TEXT]; /* what would change the verdict; "" if nothing need */
	struct tuple becomes;     /* of OUTCOME_FORWARDED */
	struct obstacle obstacles[16];
	size_t obstacle_count;
};

/* Where a packet with this source comes from, if nobody says. */
void question_guess_origin(const struct host *host, struct question *question);

/* The host is running. */
int explain(struct host *host, const struct question *question, struct explanation *explanation, struct error *err);

#endif
