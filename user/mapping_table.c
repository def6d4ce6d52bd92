/* SPDX-License-Identifier: GPL-2.0-only */
/* The two halves of the table of exposed ports: one is in use, the other one is written. */
#include "mapping_table.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "host_maps.h"
#include "mappings.h"
#include "nsbpf/order.h"

#define HALVES_SIZE (2UL * NSBPF_MAX_MAPPINGS * sizeof(struct mapping))

void mapping_table_close(struct mapping_table *table)
{
	if (table->halves)
		munmap(table->halves, HALVES_SIZE);
}

int mapping_table_open(const struct host *host, struct mapping_table *table, struct error *err)
{
	__u32 published = host->settings->mappings;

	memset(table, 0, sizeof(*table));
	table->settings = host->settings;
	table->halves = map_memory(host->maps[MAP_MAPPINGS], HALVES_SIZE, host->lock >= 0);
	if (!table->halves)
		return fail(err, EXIT_SYSTEM, "cannot map the table of exposed ports: %s", strerror(errno));
	table->count = published & NSBPF_MAPPINGS_COUNT;
	table->entries = table->halves + (published & NSBPF_MAPPINGS_HALF ? NSBPF_MAX_MAPPINGS : 0);
	table->next = table->halves + (published & NSBPF_MAPPINGS_HALF ? 0 : NSBPF_MAX_MAPPINGS);
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
	__u32 half = table->next == table->halves ? 0 : NSBPF_MAPPINGS_HALF;

	__atomic_store_n(&table->settings->mappings, half | table->next_count, __ATOMIC_SEQ_CST);
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
