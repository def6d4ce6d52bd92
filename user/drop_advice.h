/* SPDX-License-Identifier: GPL-2.0-only */
/* What would change that packets are dropped. */
#ifndef NSBPF_DROP_ADVICE_H
#define NSBPF_DROP_ADVICE_H

#include <stddef.h>

#include "nsbpf/drops.h"

/* What is known of the packet; NULL: nothing, and the text has NAME, NET, ... instead. */
struct advice_names {
	const char *endpoint; /* whose packet it is, or that it is for */
	const char *network;  /* that endpoint's */
	const char *target;   /* the endpoint that it was going to */
	const char *other;    /* that one's network */
	const char *source;   /* addresses, without ports */
	const char *destination;
	const char *device; /* that its route leaves by */
	const char *port;   /* that it is for: "8080/tcp" */
};

#define ADVICE_TEXT 512
/* One or two sentences, with commands to type in backquotes. */
const char *drop_advice(enum drop_reason reason, const struct advice_names *names, char text[ADVICE_TEXT]);

#endif
