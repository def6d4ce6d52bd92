/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of exposed ports, as memory: a change costs what it copies and no system calls. */
#ifndef NSBPF_MAPPING_TABLE_H
#define NSBPF_MAPPING_TABLE_H

#include "host.h"

struct mapping_table {
	struct settings *settings; /* where it is published */
	__u32 half;                /* the published one: 0 or NSBPF_MAPPINGS_HALF */
	struct mapping *entries;   /* in there */
	unsigned int count;
	struct mapping *next; /* in the other: the new table is put together there */
	unsigned int next_count;
	size_t size; /* of each that can be seen: an entry may be added */
};

int mapping_table_open(const struct host *host, struct mapping_table *table, struct error *err);
void mapping_table_close(struct mapping_table *table);
#define _cleanup_mapping_table_ __attribute__((cleanup(mapping_table_close)))

/* Copies the published table to the other half, with `add` in its place. */
void mapping_table_insert(struct mapping_table *table, const struct mapping *add);
/* From now on packets find the other half. */
void mapping_table_publish(struct mapping_table *table);

#endif
