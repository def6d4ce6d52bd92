/* SPDX-License-Identifier: GPL-2.0-only */
/* One look at the tables of connections, as packets change them. */
#include "check_tables.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "host_maps.h"

#define MAX_SUSPECTS 4096

/* For as long as a look takes. */
struct looking {
	struct tables *tables;
	struct suspects *suspects;
	unsigned char *found;  /* in the index, by 2 * place + direction */
	unsigned char *placed; /* by place: a connection's or free */
	__u16 *users;          /* of NAT ports */
	unsigned char *bound;  /* NAT ports that a binding leads to */
	struct usage *usage;
};

static void suspect(struct looking *l, enum suspicion what, __u64 number, __u64 value)
{
	if (l->suspects->count < MAX_SUSPECTS)
		l->suspects->list[l->suspects->count++] = (struct suspect){ what, number, value };
}

static bool is_live(const struct tables *t, __u32 place)
{
	return __atomic_load_n(&t->deadlines[place - 1], __ATOMIC_ACQUIRE);
}

static void look_at_index(struct looking *l)
{
	const struct tables *t = l->tables;

	for (size_t i = 0; i < t->index.count * NSBPF_BUCKET_WORDS; i++) {
		__u64 word = t->index.copy[i / NSBPF_BUCKET_WORDS].words[i % NSBPF_BUCKET_WORDS];
		__u32 place = (__u32)word >> 1, dir = word & 1;

		if (!word)
			continue;
		if (place && place <= t->room && is_live(t, place) && t->connections[place - 1].tags[dir] == word >> 32)
			l->found[2 * place + dir]++;
		else
			suspect(l, LEADS_NOWHERE, i, word);
	}
}

static unsigned int nat_proto(__u8 proto)
{
	return proto == IPPROTO_TCP ? NAT_TCP : proto == IPPROTO_UDP ? NAT_UDP : NAT_ICMP;
}

static void count_user(struct looking *l, unsigned int table, __u8 proto, __be16 port)
{
	if (table && table <= NSBPF_MAX_NAT_ADDRESSES)
		l->users[(((table - 1) * NAT_PROTOS + nat_proto(proto)) << 16) + ntohs(port)]++;
}

static void look_at_connections(struct looking *l)
{
	const struct tables *t = l->tables;

	for (__u32 place = 1; place <= t->room; place++) {
		const struct conn *c = &t->connections[place - 1];
		__u8 proto;

		if (!is_live(t, place))
			continue;
		proto = c->tuples[DIR_ORIGINAL].proto;
		l->placed[place]++;
		for (int dir = 0; dir < CONN_DIRS; dir++)
			if (l->found[2 * place + dir] != 1)
				suspect(l, l->found[2 * place + dir] ? FOUND_TWICE : NOT_FOUND, 2 * place + dir,
					c->tags[dir]);
		l->usage[0].connections++;
		if (c->endpoint && c->endpoint < NSBPF_MAX_ENDPOINTS)
			l->usage[c->endpoint].connections++;
		count_user(l, c->source_ports, proto, c->tuples[DIR_REPLY].dport);
		count_user(l, c->target_ports, proto, c->tuples[DIR_ORIGINAL].dport);
	}
}

static void look_at_places(struct looking *l, __u32 taken, __u32 given)
{
	const struct tables *t = l->tables;

	for (__u32 at = taken; at != given && at - taken < t->room; at++) {
		__u32 place = t->places[at & (t->room - 1)];

		if (place && place <= t->room && l->placed[place] < 0xff)
			l->placed[place]++;
	}
	for (__u32 place = 1; place <= t->room; place++)
		if (l->placed[place] != 1)
			suspect(l, l->placed[place] ? PLACE_SHARED : PLACE_LOST, place, 0);
}

/* Does its owner's port have another number, so that a binding has to lead to it? */
static bool needs_binding(__u64 word, size_t i)
{
	return word >> NAT_USERS_SHIFT & 0xffff && (__u16)word != (__u16)i;
}

static void look_at_bindings(struct looking *l)
{
	const struct tables *t = l->tables;

	for (size_t i = 0; i < t->bindings.count * NSBPF_BUCKET_WORDS; i++) {
		__u64 word = t->bindings.copy[i / NSBPF_BUCKET_WORDS].words[i % NSBPF_BUCKET_WORDS];
		__u32 port = (__u32)word - 1;

		if (!word)
			continue;
		if (port < NAT_WORDS && needs_binding(t->nat_ports[port], port))
			l->bound[port] = true;
		else
			suspect(l, BINDING_STRAY, i, word);
	}
}

static void look_at_nat_ports(struct looking *l)
{
	for (size_t i = 0; i < NAT_WORDS; i++) {
		__u64 word = l->tables->nat_ports[i];
		unsigned int users = word >> NAT_USERS_SHIFT & 0xffff, endpoint = word >> NAT_ENDPOINT_SHIFT & 0xffff;

		if (users != l->users[i])
			suspect(l, PORT_USERS, i, (__u64)l->users[i] << 16 | users);
		if (needs_binding(word, i) && !l->bound[i])
			suspect(l, BINDING_LOST, i, word);
		if (!users)
			continue;
		l->usage[0].ports++;
		if (endpoint && endpoint < NSBPF_MAX_ENDPOINTS)
			l->usage[endpoint].ports++;
	}
}

static bool is_beyond(__u32 a, __u32 b, __u32 churn)
{
	return (a > b ? a - b : b - a) > churn;
}

/* What may be as it should: one endpoint's port may be all that connections come and go by. */
static void forgive(struct suspects *suspects)
{
	size_t kept = 0;

	for (size_t i = 0; i < suspects->count; i++) {
		const struct suspect *s = &suspects->list[i];

		/* On its way: in a small table it may be so each time. */
		if (suspects->churn && (s->what == PLACE_LOST || s->what == PLACE_SHARED))
			continue;
		if (s->what != PORT_USERS || is_beyond(s->value >> 16, s->value & 0xffff, suspects->churn))
			suspects->list[kept++] = *s;
	}
	suspects->count = kept;
}

/* Counters are right at no moment while others count: only by more than came and went meanwhile are they wrong. */
static void look_at_counters(struct looking *l)
{
	const struct usage *noted = l->tables->usage;
	__u32 churn = l->suspects->churn;

	for (unsigned int slot = 0; slot < NSBPF_MAX_ENDPOINTS; slot++) {
		if (is_beyond(noted[slot].connections, l->usage[slot].connections, churn))
			suspect(l, MISCOUNTED, slot, l->usage[slot].connections);
		/* A connection may have two. */
		if (is_beyond(noted[slot].ports, l->usage[slot].ports, 2 * churn))
			suspect(l, MISCOUNTED_NAT, slot, l->usage[slot].ports);
	}
}

/* 0 or -errno. */
static int buckets_read(struct buckets *buckets)
{
	_cleanup_free_ __u32 *keys = malloc(buckets->count * sizeof(*keys));
	__u32 position, count = buckets->count;

	if (!keys)
		return -ENOMEM;
	return bpf_map_lookup_batch(buckets->map, NULL, &position, keys, buckets->copy, &count, NULL) && errno != ENOENT
		       ? -errno
		       : 0;
}

static void looking_end(struct looking *l)
{
	free(l->found);
	free(l->placed);
	free(l->bound);
	free(l->users);
	free(l->usage);
}
#define _cleanup_looking_ __attribute__((cleanup(looking_end)))

/* 0 or -errno. */
static int looking_begin(struct looking *l)
{
	size_t room = l->tables->room;

	l->found = calloc(2 * room + 2, 1);
	l->placed = calloc(room + 1, 1);
	l->bound = calloc(NAT_WORDS, 1);
	l->users = calloc(NAT_WORDS, sizeof(*l->users));
	l->usage = calloc(NSBPF_MAX_ENDPOINTS, sizeof(*l->usage));
	l->suspects->list = calloc(MAX_SUSPECTS, sizeof(*l->suspects->list));
	if (!l->found || !l->placed || !l->bound || !l->users || !l->usage || !l->suspects->list)
		return -ENOMEM;
	return 0;
}

int tables_look(struct tables *tables, struct suspects *suspects)
{
	_cleanup_looking_ struct looking l = { .tables = tables, .suspects = suspects };
	const struct pressure *pressure = tables->pressure;
	__u32 taken = __atomic_load_n(&pressure->taken, __ATOMIC_ACQUIRE);
	__u32 given = __atomic_load_n(&pressure->given, __ATOMIC_ACQUIRE);
	int ret = looking_begin(&l);

	if (!ret)
		ret = buckets_read(&tables->index);
	if (!ret)
		ret = buckets_read(&tables->bindings);
	if (ret)
		return ret;
	look_at_index(&l);
	look_at_connections(&l);
	look_at_places(&l, taken, given);
	look_at_bindings(&l);
	look_at_nat_ports(&l);
	suspects->churn = __atomic_load_n(&pressure->taken, __ATOMIC_ACQUIRE) - taken +
			  __atomic_load_n(&pressure->given, __ATOMIC_ACQUIRE) - given;
	forgive(suspects);
	look_at_counters(&l);
	return 0;
}

static int map_pin(struct host *host, const char *name, size_t size, bool writable, void *memory, struct error *err)
{
	_cleanup_close_ int fd = -1;
	void *mapped;

	if (host_open_pin(host, "maps", name, &fd, err))
		return -1;
	mapped = map_memory(fd, size, writable);
	if (!mapped)
		return fail(err, EXIT_SYSTEM, "cannot map %s: %s", name, strerror(errno));
	memcpy(memory, &mapped, sizeof(mapped));
	return 0;
}

static int open_buckets(struct host *host, const char *name, size_t count, struct buckets *buckets, struct error *err)
{
	buckets->count = count;
	buckets->copy = calloc(count, sizeof(*buckets->copy));
	if (!buckets->copy)
		return fail(err, EXIT_SYSTEM, "out of memory");
	return host_open_pin(host, "maps", name, &buckets->map, err);
}

int tables_open(struct host *host, bool writable, struct tables *t, struct error *err)
{
	size_t room = host->settings->connections, words = room * sizeof(__u32);

	*t = (struct tables){ .room = room, .index.map = -1, .bindings.map = -1 };
	return map_pin(host, "connections", room * sizeof(*t->connections), false, &t->connections, err) ||
			       map_pin(host, "deadlines", words, false, &t->deadlines, err) ||
			       map_pin(host, "places", words, writable, &t->places, err) ||
			       map_pin(host, "pressure", sizeof(*t->pressure), writable, &t->pressure, err) ||
			       map_pin(host, "nat_ports", NAT_WORDS * sizeof(*t->nat_ports), writable, &t->nat_ports,
				       err) ||
			       map_pin(host, "usage", USAGE_SIZE, writable, &t->usage, err) ||
			       open_buckets(host, "conn_index", room / 2, &t->index, err) ||
			       open_buckets(host, "bindings", room / 4, &t->bindings, err)
		       ? -1
		       : 0;
}

static void unmap(const void *memory, size_t size)
{
	if (memory)
		munmap((void *)memory, size);
}

static void close_buckets(struct buckets *buckets)
{
	if (buckets->map >= 0)
		close(buckets->map);
	free(buckets->copy);
}

void tables_close(struct tables *t)
{
	unmap(t->connections, t->room * sizeof(*t->connections));
	unmap(t->deadlines, t->room * sizeof(__u32));
	unmap(t->places, t->room * sizeof(__u32));
	unmap(t->pressure, sizeof(*t->pressure));
	unmap(t->nat_ports, NAT_WORDS * sizeof(*t->nat_ports));
	unmap(t->usage, USAGE_SIZE);
	close_buckets(&t->index);
	close_buckets(&t->bindings);
}
