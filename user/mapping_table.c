/* SPDX-License-Identifier: GPL-2.0-only */
/* The two halves of the table of exposed ports: one is in use, the other one is written. */
#include "mapping_table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "mappings.h"
#include "nsbpf/order.h"

#define HALF_SIZE (NSBPF_MAX_MAPPINGS * sizeof(struct mapping))

_Static_assert(HALF_SIZE % 65536 == 0, "a half begins with a page");

static void unmap(struct mapping *half, size_t size)
{
	if (half)
		munmap(half, size);
}

void mapping_table_close(struct mapping_table *table)
{
	unmap(table->entries, table->size);
	unmap(table->next, table->size);
}

/* Not all of it: the kernel fills in each page that is asked for, which takes longer than all else here. */
static struct mapping *map_half(const struct host *host, __u32 half, size_t size)
{
	int protection = host->lock >= 0 ? PROT_READ | PROT_WRITE : PROT_READ;
	void *memory = mmap(NULL, size, protection, MAP_SHARED, host->maps[MAP_MAPPINGS], half ? HALF_SIZE : 0);

	return memory == MAP_FAILED ? NULL : memory;
}

int mapping_table_open(const struct host *host, struct mapping_table *table, struct error *err)
{
	__u32 published = host->settings->mappings;

	memset(table, 0, sizeof(*table));
	table->settings = host->settings;
	table->half = published & NSBPF_MAPPINGS_HALF;
	table->count = published & NSBPF_MAPPINGS_COUNT;
	table->size = (table->count < NSBPF_MAX_MAPPINGS ? table->count + 1 : table->count) * sizeof(*table->entries);
	table->entries = map_half(host, table->half, table->size);
	table->next = map_half(host, table->half ^ NSBPF_MAPPINGS_HALF, table->size);
	if (!table->entries || !table->next)
		return fail(err, EXIT_SYSTEM, "cannot map the table of exposed ports: %s", strerror(errno));
	return 0;
}

void mapping_table_insert(struct mapping_table *table, const struct mapping *add)
{
	unsigned int place = 0;

	while (place < table->count && mapping_compare(&table->entries[place], add->proto, &add->addr, add->first) < 0)
		place++;
	memcpy(table->next, table->entries, place * sizeof(*add));
	table->next[place] = *add;
	memcpy(table->next + place + 1, table->entries + place, (table->count - place) * sizeof(*add));
	table->next_count = table->count + 1;
}

/* One store: a search that has begun stays in its half, which nobody writes before the next change. */
void mapping_table_publish(struct mapping_table *table)
{
	__u32 other = table->half ^ NSBPF_MAPPINGS_HALF;

	__atomic_store_n(&table->settings->mappings, other | table->next_count, __ATOMIC_SEQ_CST);
}

int mapping_each(const struct host *host, int (*each)(const struct mapping *mapping, void *arg), void *arg)
{
	_cleanup_mapping_table_ struct mapping_table table;
	int ret;

	ret = mapping_table_open(host, &table, &(struct error){ 0 });
	for (unsigned int i = 0; i < table.count && !ret; i++)
		ret = each(&table.entries[i], arg);
	return ret;
}
