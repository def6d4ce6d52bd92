/* SPDX-License-Identifier: GPL-2.0-only */
/* Uplinks: the host's devices towards the outside. */
#ifndef NSBPF_UPLINKS_H
#define NSBPF_UPLINKS_H

#include "addr.h"
#include "host.h"

/* Attaches to the devices of the default routes, forgets devices that are gone, notes changed addresses. */
int uplinks_refresh(struct host *host, struct error *err);

/* 1 if done, 0 if already so, -1 with err. */
int uplink_add(struct host *host, const char *name, struct error *err);
int uplink_delete(struct host *host, const char *name, struct error *err);
/* As if nobody had named it: it stays if a default route leads to it. */
int uplink_unname(struct host *host, const char *name, struct error *err);
int uplinks_delete_all(struct host *host, struct error *err);

int uplink_each(const struct host *host, int (*each)(__u32 ifindex, const struct uplink *uplink, void *arg), void *arg);

/* Can it carry Ethernet frames to the outside? Not lo, not our own host veths. */
bool uplink_is_possible(const struct link *link);
/* Those that masquerade takes where the kernel's FIB does not tell which one the host would use; all zero: none. 0 or
 * -errno. */
int uplink_addresses(const struct host *host, __u32 ifindex, struct addr_pair *addresses);

bool uplinks_exist(const struct host *host);
/* The smallest MTU of the uplinks; 1500 if there is none. */
unsigned int uplinks_mtu(const struct host *host);

#endif
