/* SPDX-License-Identifier: GPL-2.0-only */
/* Who listens to the datapath, and what he hears. */
#include "events.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "host_maps.h"

#define LISTENERS_SIZE (NSBPF_LISTENERS * sizeof(struct event_listener))
#define LOOK 50    /* ms, between looks at what has come */
#define PATIENCE 2 /* looks in vain for the host's maps: they move while its table grows */

struct events {
	__u32 number;        /* of this listener */
	__u32 map;           /* id of `listeners`, as another host that starts here later has another one */
	char path[PATH_MAX]; /* where that is pinned */
	int life;            /* the lock that goes with the process: see is_alive() */
	int missed;
	struct event_listener *listeners;
	struct ring_buffer *ring;
};

/* A listener's lock is a byte of the directory that all hosts share. */
static struct flock lock_of(const struct host *host, __u32 number, short type)
{
	return (struct flock){
		.l_type = type, .l_whence = SEEK_SET, .l_start = host->cookie * NSBPF_LISTENERS + number, .l_len = 1
	};
}

/* It ends with the process, however that ends, and no process id has to be trusted. */
static bool is_alive(const struct host *host, __u32 number)
{
	struct flock lock = lock_of(host, number, F_WRLCK);

	return !fcntl(host->lock, F_OFD_GETLK, &lock) && lock.l_type != F_UNLCK;
}

static int live(struct events *events, const struct host *host)
{
	struct flock lock = lock_of(host, events->number, F_RDLCK);

	events->life = open(host->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return events->life < 0 || fcntl(events->life, F_OFD_SETLK, &lock) ? -errno : 0;
}

static __u32 map_id(int fd)
{
	struct bpf_map_info info = { 0 };
	__u32 size = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &size) ? 0 : info.id;
}

/* What the datapath looks at first. 0 or -1 with err. */
static int publish(struct host *host, const struct event_listener *listeners, struct error *err)
{
	_cleanup_close_ int heard = -1;
	__u32 kinds = 0, zero = 0, packets;

	if (host_open_pin(host, "maps", "packets_heard", &heard, err))
		return -1;
	for (__u32 i = 0; i < NSBPF_LISTENERS; i++)
		kinds |= listeners[i].kinds;
	packets = !!(kinds & LISTEN(EVENT_PACKET));
	if (bpf_map_update_elem(heard, &zero, &packets, BPF_ANY))
		return fail(err, EXIT_SYSTEM, "cannot write who listens: %s", strerror(errno));
	__atomic_store_n(&host->settings->listeners, kinds, __ATOMIC_RELAXED);
	return 0;
}

static void clear(struct event_listener *listeners, int rings, __u32 number)
{
	__atomic_store_n(&listeners[number].kinds, 0, __ATOMIC_RELAXED);
	bpf_map_delete_elem(rings, &number);
}

/* The two maps of listeners; the first as memory. */
static int open_maps(struct host *host, int *rings, struct event_listener **listeners, __u32 *id, struct error *err)
{
	_cleanup_close_ int fd = -1;

	if (host_open_pin(host, "maps", "listener_rings", rings, err) ||
	    host_open_pin(host, "maps", "listeners", &fd, err))
		return -1;
	*listeners = map_memory(fd, LISTENERS_SIZE, true);
	if (!*listeners)
		return fail(err, EXIT_SYSTEM, "cannot map the listeners of %s: %s", host->dir, strerror(errno));
	*id = map_id(fd);
	return 0;
}

void events_tidy(struct host *host)
{
	_cleanup_close_ int rings = -1;
	struct event_listener *listeners;
	struct error err;
	__u32 id;

	if (open_maps(host, &rings, &listeners, &id, &err)) {
		host->damaged = false; /* all that others need is there */
		return;
	}
	for (__u32 i = 0; i < NSBPF_LISTENERS; i++)
		if (listeners[i].kinds && !is_alive(host, i))
			clear(listeners, rings, i);
	publish(host, listeners, &err);
	munmap(listeners, LISTENERS_SIZE);
}

static int make_ring(struct events *events, int rings, size_t size, event_fn *fn, void *arg)
{
	_cleanup_close_ int ring = bpf_map_create(BPF_MAP_TYPE_RINGBUF, "nsbpf_events", 0, 0, size, NULL);

	if (ring < 0)
		return ring;
	events->ring = ring_buffer__new(ring, fn, arg, NULL);
	if (!events->ring)
		return -errno;
	return bpf_map_update_elem(rings, &events->number, &ring, BPF_ANY) ? -errno : 0;
}

static int begin(struct events *events, struct host *host, unsigned int kinds, size_t ring, event_fn *fn, void *arg,
		 struct error *err)
{
	_cleanup_close_ int rings = -1;
	int ret;

	if (open_maps(host, &rings, &events->listeners, &events->map, err))
		return -1;
	while (events->number < NSBPF_LISTENERS && events->listeners[events->number].kinds)
		events->number++;
	if (events->number == NSBPF_LISTENERS)
		return fail(err, EXIT_CONFLICT, "%d others listen already, and no more can", NSBPF_LISTENERS);
	host_path(host, "maps", "listeners", events->path);
	ret = live(events, host);
	if (!ret)
		ret = make_ring(events, rings, ring, fn, arg);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot make a ring buffer: %s", strerror(-ret));
	events->listeners[events->number].lost = 0;
	events->listeners[events->number].kinds = kinds;
	return publish(host, events->listeners, err);
}

static void free_events(struct events *events)
{
	ring_buffer__free(events->ring);
	if (events->listeners)
		munmap(events->listeners, LISTENERS_SIZE);
	if (events->life >= 0)
		close(events->life);
	free(events);
}

int events_open(struct events **events, unsigned int kinds, size_t ring, event_fn *fn, void *arg, struct error *err)
{
	struct events *new = calloc(1, sizeof(*new));
	struct host host;
	int ret;

	if (!new)
		return fail(err, EXIT_SYSTEM, "out of memory");
	new->life = -1;
	ret = host_change(&host, err);
	if (!ret && !host.running)
		ret = fail(err, EXIT_MISSING, "nothing runs here (`nsbpf add NAME` begins)");
	if (!ret)
		ret = begin(new, &host, kinds, ring, fn, arg, err);
	host_close(&host);
	if (ret)
		free_events(new);
	else
		*events = new;
	return ret;
}

int events_poll(struct events *events, int timeout)
{
	int ret = ring_buffer__poll(events->ring, timeout < LOOK ? timeout : LOOK);

	if (!ret) /* nobody has woken us: there may be less than NSBPF_RING_WAKE */
		ret = ring_buffer__consume(events->ring);
	return ret < 0 ? ret : 0;
}

/* Is the host's map of listeners still the one that we are in? */
static bool is_ours(const struct events *events)
{
	_cleanup_close_ int fd = bpf_obj_get(events->path);

	return fd >= 0 && map_id(fd) == events->map;
}

bool events_go_on(struct events *events)
{
	events->missed = is_ours(events) ? 0 : events->missed + 1;
	return events->missed < PATIENCE;
}

unsigned long long events_lost(const struct events *events)
{
	return __atomic_load_n(&events->listeners[events->number].lost, __ATOMIC_RELAXED);
}

/* Should this fail, the next one tidies up. */
void events_close(struct events *events)
{
	_cleanup_close_ int rings = -1;
	struct error err;
	struct host host;

	if (!host_change(&host, &err) && host.running && is_ours(events) &&
	    !host_open_pin(&host, "maps", "listener_rings", &rings, &err)) {
		clear(events->listeners, rings, events->number);
		publish(&host, events->listeners, &err);
	}
	host_close(&host);
	free_events(events);
}
