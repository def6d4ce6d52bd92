/* SPDX-License-Identifier: GPL-2.0-only */
/* Listening to the datapath: a ring buffer of one's own, for as long as one listens. */
#ifndef NSBPF_USER_EVENTS_H
#define NSBPF_USER_EVENTS_H

#include <stddef.h>

#include "host.h"
#include "nsbpf/events.h"

struct events;

/* One record: a struct connection_event, or a struct packet_event with its bytes behind it. Not 0 ends events_poll().
 */
typedef int event_fn(void *arg, void *record, size_t size);

/*
 * Begins to listen to these kinds (a mask of LISTEN()); `ring` is a power of two, bytes. Takes the lock for a moment,
 * and so does the end. Whoever is killed listens no longer: the next one that listens, or changes something, sees to
 * that.
 */
int events_open(struct events **events, unsigned int kinds, size_t ring, event_fn *fn, void *arg, struct error *err);
/* Calls fn for what has come; or waits for so many milliseconds at most. 0, or what fn returned, or -errno. */
int events_poll(struct events *events, int timeout);
/* Is the host that we listen to still there? Not after `nsbpf down`. To be asked every second or so. */
bool events_go_on(struct events *events);
/* How many there was no room for. */
unsigned long long events_lost(const struct events *events);
void events_close(struct events *events);

/* Takes out those who were killed while they listened, as far as that can be done. Needs the lock, and a host that
 * runs.
 */
void events_tidy(struct host *host);

#endif
