/* SPDX-License-Identifier: GPL-2.0-only */
/* A host: the network namespace that nsbpf runs in, and what nsbpf keeps for it in bpffs. */
#ifndef NSBPF_HOST_H
#define NSBPF_HOST_H

#include <limits.h>
#include <stdbool.h>

#include "error.h"
#include "nl.h"
#include "nsbpf/types.h"

/* The maps that user space reads or writes; host_maps.c has their names. */
enum host_map {
	MAP_SETTINGS,
	MAP_ENDPOINTS,
	MAP_NETWORKS,
	MAP_ADDRESSES,
	MAP_UPLINKS,
	MAP_MAPPINGS,
	MAP_HOST_ADDRESSES,
	MAP_CONNECTIONS,
	MAP_DEADLINES,
	MAP_DROPS,
	MAP_ENDPOINT_STATS,
	MAP_HOST_SOCKETS,
	MAP_USAGE,
	MAP_PRESSURE,
	HOST_MAPS,
};

/* The programs that commands run themselves, on one connection at a time. */
enum host_program {
	PROGRAM_END_CONNECTION,
	PROGRAM_REVIEW_CONNECTION,
	HOST_PROGRAMS,
};

#define LOOPBACK_IFINDEX 1 /* in every network namespace */

struct host {
	unsigned long long cookie; /* of the network namespace, and so the host's name in bpffs */
	char top[PATH_MAX];        /* BPFFS/nsbpf, "" if there is no bpffs yet */
	char dir[PATH_MAX];        /* BPFFS/nsbpf/COOKIE */
	bool running;              /* the datapath is loaded; else no map is open */
	bool started;              /* ... by this very command */
	bool damaged;              /* ... but not all of it is there: somebody removed pins */
	int maps[HOST_MAPS];
	int programs[HOST_PROGRAMS];
	/* Maps as memory, while it runs: a walk over all slots is no system calls. By slot; slot 0 is never used. */
	const struct endpoint *endpoints;
	const struct network *networks;
	const struct usage *usage; /* by the endpoint's slot; slot 0: all together */
	const struct pressure *pressure;
	struct settings *settings; /* to be written with the lock only, word by word: packets read it meanwhile */
	int lock;                  /* held from host_change() to host_close(), else -1 */
	struct nl *nl;             /* rtnetlink in this namespace */
	__u32 connections;         /* that host_start() is to make room for; 0: as many as usual */
};

/* For looking only: takes no lock; a host where nothing runs is fine. */
int host_open(struct host *host, struct error *err);
/* For changing: waits for the lock that serialises all changes on the machine. */
int host_change(struct host *host, struct error *err);
/* Loads the datapath unless it runs, and brings what it knows of the host up to date. Needs the lock. */
int host_start(struct host *host, struct error *err);
/* Takes the datapath away with every pin. Needs the lock, and endpoints, networks and uplinks gone. */
int host_stop(struct host *host, struct error *err);
void host_close(struct host *host);

/* Puts "DIR/sub/name" in path. */
void host_path(const struct host *host, const char *sub, const char *name, char path[PATH_MAX]);

/* Calls each() with the directory of every host on this machine, this one included, until it returns non-zero. */
int host_each_dir(const struct host *host, int (*each)(const char *dir, void *arg), void *arg);

#endif
