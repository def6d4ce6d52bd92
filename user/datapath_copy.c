/* SPDX-License-Identifier: GPL-2.0-only */
/* Loading a second datapath beside the first, copying what connections there are, and running packets through it. */
#include "datapath_copy.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "addr.h"
#include "cleanup.h"
#include "datapath.h"
#include "host_maps.h"

/* What the datapath itself never writes. */
static bool is_shared(const char *map)
{
	static const char *const shared[] = { "settings", "endpoints", "networks",       "addresses",
					      "uplinks",  "mappings",  "host_addresses", "host_sockets" };

	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++)
		if (!strcmp(map, shared[i]))
			return true;
	return false;
}

/*
 * What is not on either list begins empty: counters, rates, fragments. The indexes are made anew, see below. The live
 * datapath writes meanwhile, so the order matters: a place that was in use comes before what was in it, which stays
 * there for a while; and a place that is free before the number of those that were taken.
 */
static const char *const copied[] = { "deadlines", "connections", "traffic",       "places",    "usage",
				      "pressure",  "openings",    "nat_addresses", "nat_ports", "vain_searches" };

/* A single value may have a lock in it, and then there are no batches. */
static int copy_value(int to, int from, size_t size)
{
	_cleanup_free_ void *value = calloc(1, size);
	__u32 zero = 0;

	if (!value)
		return -ENOMEM;
	if (bpf_map_lookup_elem(from, &zero, value))
		return -errno;
	return bpf_map_update_elem(to, &zero, value, BPF_ANY) ? -errno : 0;
}

static int copy_values(int to, int from, __u32 count, size_t size)
{
	_cleanup_free_ __u32 *keys = calloc(count, sizeof(*keys));
	_cleanup_free_ void *values = calloc(count, size);
	__u32 position = 0;

	if (!keys || !values)
		return -ENOMEM;
	/* -ENOENT says that there is no more behind these. */
	if (bpf_map_lookup_batch(from, NULL, &position, keys, values, &count, NULL) && errno != ENOENT)
		return -errno;
	return bpf_map_update_batch(to, keys, values, &count, NULL) ? -errno : 0;
}

static int copy_memory(int to, int from, size_t size)
{
	void *source = map_memory(from, size, false), *target = map_memory(to, size, true);
	int ret = source && target ? 0 : -errno;

	if (!ret)
		memcpy(target, source, size);
	if (source)
		munmap(source, size);
	if (target)
		munmap(target, size);
	return ret;
}

static int copy_all(int to, int from)
{
	struct bpf_map_info info = { 0 };
	__u32 info_size = sizeof(info);
	size_t size;

	if (bpf_obj_get_info_by_fd(from, &info, &info_size))
		return -errno;
	size = (info.value_size + 7) & ~7U; /* as arrays have it */
	if (info.map_flags & BPF_F_MMAPABLE)
		return copy_memory(to, from, info.max_entries * size);
	return info.max_entries == 1 ? copy_value(to, from, size) : copy_values(to, from, info.max_entries, size);
}

static int copy_map(const struct datapath_copy *copy, const char *name, struct error *err)
{
	_cleanup_close_ int from = -1;
	int ret;

	if (host_open_pin(copy->host, "maps", name, &from, err))
		return -1;
	ret = copy_all(datapath_map(copy->skel, name), from);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot copy the map %s: %s", name, strerror(-ret));
	return 0;
}

static const void *look_at(const struct datapath_copy *copy, const char *map, size_t size)
{
	return map_memory(datapath_map(copy->skel, map), size, false);
}

static int look_at_all(struct datapath_copy *copy, struct error *err)
{
	copy->connections = look_at(copy, "connections", copy->room * sizeof(struct conn));
	copy->traffic = look_at(copy, "traffic", copy->room * CONN_DIRS * sizeof(struct traffic));
	copy->deadlines = look_at(copy, "deadlines", copy->room / NSBPF_BLOCK_WORDS * sizeof(struct block));
	if (!copy->connections || !copy->traffic || !copy->deadlines)
		return fail(err, EXIT_SYSTEM, "cannot map the copied connections: %s", strerror(errno));
	return 0;
}

/* A place that was given to another connection meanwhile may hold what is in a third one, too: then the index has one
 * of the two, and the packet that is asked about has to be very unlucky to be theirs. */
int datapath_copy_open(struct datapath_copy *copy, struct host *host, const char *program, struct error *err)
{
	const char *const programs[] = { program,          "to_endpoint", "tell_route", "index_connections",
					 "index_bindings", NULL };
	const struct datapath_options options = { .netns_cookie = host->cookie,
						  .connections = host->settings->connections,
						  .share_from = host->dir,
						  .shares = is_shared,
						  .programs = programs };

	*copy = (struct datapath_copy){ .host = host, .room = options.connections };
	copy->skel = datapath_open(&options, err);
	if (!copy->skel)
		return -1;
	for (size_t i = 0; i < sizeof(copied) / sizeof(copied[0]); i++)
		if (copy_map(copy, copied[i], err))
			return -1;
	return datapath_index(copy->skel, options.connections, err) < 0 || look_at_all(copy, err) ? -1 : 0;
}

static void unmap(const void *memory, size_t size)
{
	if (memory)
		munmap((void *)memory, size);
}

void datapath_copy_close(struct datapath_copy *copy)
{
	unmap(copy->connections, copy->room * sizeof(struct conn));
	unmap(copy->traffic, copy->room * CONN_DIRS * sizeof(struct traffic));
	unmap(copy->deadlines, copy->room / NSBPF_BLOCK_WORDS * sizeof(struct block));
	if (copy->skel)
		datapath_close(copy->skel);
}

static int run(const struct datapath_copy *copy, const char *program, struct bpf_test_run_opts *opts, struct error *err)
{
	if (!bpf_prog_test_run_opts(datapath_program(copy->skel, program), opts))
		return 0;
	return fail(err, EXIT_SYSTEM, "cannot run %s on a packet: %s", program, strerror(errno));
}

int datapath_copy_run(const struct datapath_copy *copy, const struct copy_hook *hook, const struct packet_spec *packet,
		      struct copy_run *result, struct error *err)
{
	struct __sk_buff skb = { .ifindex = hook->ifindex, .ingress_ifindex = hook->ingress_ifindex };
	struct packet_frame frame;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.bytes, .data_size_in = packet_build(packet, &frame),
		    .data_out = result->frame.bytes, .data_size_out = sizeof(result->frame.bytes), .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb), .repeat = 1);

	if (run(copy, hook->program, &opts, err))
		return -1;
	result->action = (int)opts.retval;
	result->length = opts.data_size_out;
	return 0;
}

static bool tuple_equal(const struct tuple *a, const struct tuple *b)
{
	return a->proto == b->proto && a->sport == b->sport && a->dport == b->dport &&
	       addr_equal(&a->saddr, &b->saddr) && addr_equal(&a->daddr, &b->daddr);
}

size_t datapath_copy_find(const struct datapath_copy *copy, const struct tuple *tuple, enum conn_dir *dir)
{
	for (size_t i = 0; i < copy->room; i++) {
		if (!copy->deadlines[i / NSBPF_BLOCK_WORDS].words[i % NSBPF_BLOCK_WORDS])
			continue;
		for (int d = 0; d < CONN_DIRS; d++)
			if (tuple_equal(&copy->connections[i].tuples[d], tuple)) {
				*dir = d;
				return i + 1;
			}
	}
	return 0;
}

int datapath_copy_reason(const struct datapath_copy *copy, struct error *err)
{
	int cpus = libbpf_num_possible_cpus(), map = datapath_map(copy->skel, "drops");
	_cleanup_free_ __u64 *each = calloc(cpus, sizeof(*each));

	if (!each)
		return fail(err, EXIT_SYSTEM, "out of memory");
	for (__u32 reason = 0; reason < DROP_REASONS; reason++) {
		if (bpf_map_lookup_elem(map, &reason, each))
			return fail(err, EXIT_SYSTEM, "cannot read the copy's counters: %s", strerror(errno));
		for (int cpu = 0; cpu < cpus; cpu++)
			if (each[cpu])
				return reason;
	}
	return DROP_REASONS;
}

int datapath_copy_endpoints(const struct datapath_copy *copy, unsigned int *receiver, unsigned int *blamed,
			    struct error *err)
{
	int cpus = libbpf_num_possible_cpus(), map = datapath_map(copy->skel, "endpoint_stats");
	_cleanup_free_ struct endpoint_stats *each = calloc(cpus, sizeof(*each));

	if (!each)
		return fail(err, EXIT_SYSTEM, "out of memory");
	*receiver = *blamed = 0;
	for (__u32 slot = 1; slot < NSBPF_MAX_ENDPOINTS; slot++) {
		if (copy->host->endpoints[slot].state == SLOT_FREE)
			continue;
		if (bpf_map_lookup_elem(map, &slot, each))
			return fail(err, EXIT_SYSTEM, "cannot read the copy's counters: %s", strerror(errno));
		for (int cpu = 0; cpu < cpus; cpu++) {
			if (each[cpu].rx_packets)
				*receiver = slot;
			if (each[cpu].drops)
				*blamed = slot;
		}
	}
	return 0;
}

int datapath_copy_route(const struct datapath_copy *copy, const struct tuple *tuple, __u32 network,
			struct route_told *told, struct error *err)
{
	const struct route_question question = { .tuple = *tuple, .network = network };
	unsigned char frame[ETH_HLEN + sizeof(question)] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = sizeof(frame), .data_out = frame,
		    .data_size_out = sizeof(frame), .repeat = 1);

	memcpy(frame + ETH_HLEN, &question, sizeof(question));
	if (run(copy, "tell_route", &opts, err))
		return -1;
	if (opts.retval)
		return fail(err, EXIT_SYSTEM, "cannot ask for a route: %s", strerror(opts.retval));
	memcpy(told, frame + ETH_HLEN, sizeof(*told));
	return 0;
}
