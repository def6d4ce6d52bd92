/* SPDX-License-Identifier: GPL-2.0-only */
/* Batched reading of a hash map. */
#include "map_walk.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>

#include "cleanup.h"

#define BATCH 1024

int map_walk(int map, size_t key_size, size_t value_size, int (*each)(const void *key, const void *value, void *arg),
	     void *arg)
{
	_cleanup_free_ char *keys = malloc(BATCH * key_size);
	_cleanup_free_ char *values = malloc(BATCH * value_size);
	bool first = true, last = false;
	__u32 position = 0, count;
	int ret = 0;

	if (!keys || !values)
		return -ENOMEM;
	while (!ret && !last) {
		count = BATCH;
		/* -ENOENT comes with the last entries; -ENOSPC would mean a hash bucket of more than BATCH. */
		if (bpf_map_lookup_batch(map, first ? NULL : &position, &position, keys, values, &count, NULL)) {
			if (errno != ENOENT)
				return -errno;
			last = true;
		}
		first = false;
		for (__u32 i = 0; i < count && !ret; i++)
			ret = each(keys + i * key_size, values + i * value_size, arg);
	}
	return ret;
}
