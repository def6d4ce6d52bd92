/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Established packets go on while the larger table takes over, and change the traffic of whichever table the programs
 * have that they meet. So a copy is taken of what the smaller one has, packets are sent to the larger one, and then it
 * gets what has been counted in the smaller one since. What had been copied is remembered behind the places that both
 * have, which are free in the larger table as long as it is frozen: if the command is killed, another can go on.
 */
#include "grow_table.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "host_maps.h"

/* Of bpf/maps.h. */
#define OPENINGS_PER_CONNECTION 2

static const struct part {
	const char *map;
	size_t memory; /* offset in struct table */
	size_t each;   /* bytes for a place; 0: the map has one value, for all */
} parts[] = {
	{ "connections", offsetof(struct table, connections), sizeof(struct conn) },
	{ "traffic", offsetof(struct table, traffic), CONN_DIRS * sizeof(struct traffic) },
	{ "deadlines", offsetof(struct table, deadlines), sizeof(__u32) },
	{ "places", offsetof(struct table, places), sizeof(__u32) },
	{ "openings", offsetof(struct table, openings), OPENINGS_PER_CONNECTION * sizeof(__u32) },
	{ "pressure", offsetof(struct table, pressure), 0 },
};

#define PARTS (sizeof(parts) / sizeof(parts[0]))

static void **part_memory(struct table *table, const struct part *part)
{
	return (void **)((char *)table + part->memory);
}

static size_t part_size(const struct table *table, const struct part *part)
{
	return part->each ? part->each * table->room : sizeof(struct pressure);
}

static int part_open(struct table *table, const struct part *part, const char *dir)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);
	_cleanup_close_ int fd = -1;
	char path[PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/maps/%s", dir, part->map) >= PATH_MAX)
		return -ENAMETOOLONG;
	fd = bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &size))
		return -errno;
	if (!table->room) /* `connections` is the first */
		table->room = info.max_entries;
	*part_memory(table, part) = map_memory(fd, part_size(table, part), true);
	return *part_memory(table, part) ? 0 : -errno;
}

int table_open(struct table *table, const char *dir)
{
	int ret = 0;

	*table = (struct table){ 0 };
	for (size_t i = 0; i < PARTS && !ret; i++)
		ret = part_open(table, &parts[i], dir);
	if (ret)
		table_close(table);
	return ret;
}

void table_close(struct table *table)
{
	for (size_t i = 0; i < PARTS; i++)
		if (*part_memory(table, &parts[i]))
			munmap(*part_memory(table, &parts[i]), part_size(table, &parts[i]));
	*table = (struct table){ 0 };
}

void table_freeze(struct table *table)
{
	__atomic_store_n(&table->pressure->frozen, true, __ATOMIC_SEQ_CST);
}

void table_thaw(struct table *table)
{
	__atomic_store_n(&table->pressure->frozen, false, __ATOMIC_SEQ_CST);
}

static struct traffic *traffic_of(const struct table *table, __u32 i, enum conn_dir dir)
{
	return &table->traffic[i + (dir == DIR_REPLY ? table->room : 0)];
}

/* Where the larger table remembers what it has of the smaller one's. */
static struct traffic *copied_of(const struct table *to, const struct table *from, __u32 i, enum conn_dir dir)
{
	return traffic_of(to, from->room + i, dir);
}

static void copy_connection(struct table *to, const struct table *from, __u32 i)
{
	struct conn *c = &to->connections[i];

	*c = from->connections[i];
	/* A packet may have been about to write its route: so the next one looks it up again. */
	c->routed -= NSBPF_CLOCK_HZ;
	for (int dir = 0; dir < CONN_DIRS; dir++) {
		struct traffic t = *traffic_of(from, i, dir);

		*traffic_of(to, i, dir) = *copied_of(to, from, i, dir) = t;
	}
	to->deadlines[i] = from->deadlines[i];
}

/* Rings: `next` wraps far behind their lengths, so an entry has another index where the ring has another length. */
static void copy_ring(__u32 *to, __u32 to_length, const __u32 *from, __u32 from_length, __u32 first, __u32 behind)
{
	for (__u32 at = first; at != behind; at++)
		to[at & (to_length - 1)] = from[at & (from_length - 1)];
}

static void copy_rings(struct table *to, const struct table *from)
{
	const __u32 ring = OPENINGS_PER_CONNECTION * from->room;
	struct pressure p = *from->pressure;

	if (p.opened - p.examined > ring) /* those before are overwritten */
		p.examined = p.opened - ring;
	copy_ring(to->openings, OPENINGS_PER_CONNECTION * to->room, from->openings, ring, p.examined, p.opened);
	copy_ring(to->places, to->room, from->places, from->room, p.taken, p.given);
	for (__u32 place = from->room + 1; place <= to->room; place++)
		to->places[p.given++ & (to->room - 1)] = place;
	p.frozen = true;
	*to->pressure = p;
}

void table_copy(struct table *to, const struct table *from)
{
	for (__u32 i = 0; i < from->room; i++)
		if (from->deadlines[i])
			copy_connection(to, from, i);
	copy_rings(to, from);
}

static void move_forward(__u32 *to, __u32 from)
{
	if ((__s32)(from - *to) > 0)
		*to = from;
}

/* What the packets of one direction have changed. True: its TCP state, too. */
static bool merge_traffic(struct traffic *to, struct traffic *copied, const struct traffic *from)
{
	const struct traffic t = *from;
	bool state = t.tcp != copied->tcp;

	__atomic_fetch_add(&to->packets, t.packets - copied->packets, __ATOMIC_RELAXED);
	__atomic_fetch_add(&to->bytes, t.bytes - copied->bytes, __ATOMIC_RELAXED);
	move_forward(&to->seen, t.seen);
	move_forward(&to->acked, t.acked);
	move_forward(&to->edge, t.edge);
	if (t.scale != copied->scale)
		to->scale = t.scale;
	__atomic_fetch_and(&to->tcp, ~(copied->tcp & ~t.tcp), __ATOMIC_RELAXED);
	__atomic_fetch_or(&to->tcp, t.tcp & ~copied->tcp, __ATOMIC_RELAXED);
	*copied = t;
	return state;
}

/* Its state may be another one now: a deadline that has come makes the sweep tell when it ends, and in the ring it is
 * found if it may give way. */
static void merge_state(struct table *to, __u32 i)
{
	struct conn *c = &to->connections[i];
	__u32 seen = traffic_of(to, i, DIR_ORIGINAL)->seen;

	to->deadlines[i] = seen ? seen : 1;
	if (c->listed)
		return;
	c->listed = true;
	to->openings[__atomic_fetch_add(&to->pressure->opened, 1, __ATOMIC_SEQ_CST) &
		     (OPENINGS_PER_CONNECTION * to->room - 1)] = 1 + i;
}

void table_merge(struct table *to, const struct table *from)
{
	for (__u32 i = 0; i < from->room; i++) {
		bool state = false;

		if (!from->deadlines[i])
			continue;
		for (int dir = 0; dir < CONN_DIRS; dir++)
			state |= merge_traffic(traffic_of(to, i, dir), copied_of(to, from, i, dir),
					       traffic_of(from, i, dir));
		if (state)
			merge_state(to, i);
	}
}
