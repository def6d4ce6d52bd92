/* SPDX-License-Identifier: GPL-2.0-only */
/* A host's maps and programs: file descriptors, and memory. */
#ifndef NSBPF_HOST_MAPS_H
#define NSBPF_HOST_MAPS_H

#include "host.h"

#define ENDPOINTS_SIZE (NSBPF_MAX_ENDPOINTS * sizeof(struct endpoint))
#define NETWORKS_SIZE (NSBPF_MAX_NETWORKS * sizeof(struct network))
#define USAGE_SIZE (NSBPF_MAX_ENDPOINTS * sizeof(struct usage))

/* Opens them all, `settings` as memory that can be written if the host is locked, and says that it is running. On
 * failure some are open. */
int host_maps_open(struct host *host, struct error *err);
void host_maps_close(struct host *host);

/* One of the maps or programs ("maps", "traffic") that few commands need, to be closed. */
int host_open_pin(struct host *host, const char *sub, const char *name, int *fd, struct error *err);

/* A map that is an array, BPF_F_MMAPABLE, as memory, for munmap(). NULL with errno. */
void *map_memory(int map, size_t size, bool writable);

#endif
