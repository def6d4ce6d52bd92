/* SPDX-License-Identifier: GPL-2.0-only */
/* Walking over a BPF hash map. */
#ifndef NSBPF_MAP_WALK_H
#define NSBPF_MAP_WALK_H

#include <stddef.h>

/*
 * Reads in batches, by hash bucket: entries that come and go meanwhile may be missed, but the walk never starts again.
 * A non-zero result of each() ends it and is returned; each() may delete. -errno if reading fails.
 */
int map_walk(int map, size_t key_size, size_t value_size, int (*each)(const void *key, const void *value, void *arg),
	     void *arg);

#endif
