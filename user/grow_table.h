/* SPDX-License-Identifier: GPL-2.0-only */
/* A connection table as memory, and how a larger one takes over from it. */
#ifndef NSBPF_GROW_TABLE_H
#define NSBPF_GROW_TABLE_H

#include "error.h"
#include "nsbpf/types.h"

struct table {
	__u32 room; /* places: 1 to room */
	struct conn *connections;
	struct traffic *traffic;
	__u32 *deadlines, *places, *openings;
	struct pressure *pressure;
};

/* The one that is pinned in DIR/maps. 0 or -errno; on failure there is nothing to close. */
int table_open(struct table *table, const char *dir);
void table_close(struct table *table);

/* From here on no connection begins or ends, but for what is on its way: see is_frozen() in bpf/settings.h. */
void table_freeze(struct table *table);
void table_thaw(struct table *table);

/* Puts all that a frozen table has into a larger one that is new. Connections keep their places. */
void table_copy(struct table *to, const struct table *from);
/* What established packets have changed in `from` since the last look, now that none comes there any more. */
void table_merge(struct table *to, const struct table *from);

#endif
