/* SPDX-License-Identifier: GPL-2.0-only */
/* Listings: each is built as JSON, and the table for people is made from that. */
#ifndef NSBPF_LISTING_H
#define NSBPF_LISTING_H

#include <jansson.h>
#include <stdio.h>

#include "host.h"

struct column {
	const char *title;
	const char *key;
};

struct listing {
	/* A new array of objects; NULL for lack of memory. The host is running. */
	json_t *(*build)(const struct host *host);
	const struct column *columns; /* ends with a NULL title */
};

extern const struct listing endpoints_listing, networks_listing, mappings_listing, uplinks_listing;

/* The whole command: `argv[0]` and nothing but options behind it. */
int run_listing(int argc, char **argv, const struct listing *listing);
/* Just the table; nothing at all for an empty array. */
void print_table(const json_t *rows, const struct column *columns);
/* The same anywhere. The last so many columns are of numbers to be compared, and so flush right. */
void write_table(FILE *out, const json_t *rows, const struct column *columns, size_t numbers);
/* Where nothing runs. */
void print_idle(void);

/* Three digits that count, and k, M, G or T: "0", "12.5", "1.25M". */
#define SHORT_NUMBER 16
const char *format_short(double number, char text[SHORT_NUMBER]);

#endif
