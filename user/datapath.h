/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF programs: loading, pinning, attaching. Only datapath.c knows the skeleton. */
#ifndef NSBPF_DATAPATH_H
#define NSBPF_DATAPATH_H

#include "host.h"

/* Before anything else: what libbpf and the verifier have to say is shown with NSBPF_DEBUG only. */
void datapath_init(void);

/* Loads everything and pins it in dir, which exists and is empty: maps/, programs/ and links/ (of the socket hooks). */
int datapath_load(const char *dir, unsigned long long netns_cookie, __u32 connections, struct error *err);

/* Where a program is attached. */
enum hook {
	HOOK_FROM_ENDPOINT, /* ingress of a host veth */
	HOOK_TO_ENDPOINT,   /* its egress */
	HOOK_FROM_UPLINK,   /* ingress of an uplink */
};

/* Has the kernel TCX links? Asked with any program for them. */
bool datapath_has_tcx(int program);

/*
 * TCX link (pinned as links/IFINDEX-PROGRAM) where settings.features has TCX, else a filter in a clsact qdisc, which is
 * made if need be. Attaching what is attached is fine.
 */
int datapath_attach(const struct host *host, unsigned int ifindex, enum hook hook, struct error *err);
/* Is the pinned program there? No: it was detached, or somebody's replaced it, or there is no such device. */
bool datapath_is_attached(const struct host *host, unsigned int ifindex, enum hook hook);
/* Never fails for a device that is gone. With remove_qdisc the clsact qdisc goes as well, if no filter is left in it.
 */
int datapath_detach(const struct host *host, unsigned int ifindex, enum hook hook, bool remove_qdisc);

#endif
