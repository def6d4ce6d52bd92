/* SPDX-License-Identifier: GPL-2.0-only */
/* The BPF programs: loading, pinning, attaching. Only datapath.c and datapath_open.c know the skeleton. */
#ifndef NSBPF_DATAPATH_H
#define NSBPF_DATAPATH_H

#include "host.h"

/* Before anything else: what libbpf and the verifier have to say is shown with NSBPF_DEBUG only. */
void datapath_init(void);

/* Loads everything and pins it in dir, which exists and is empty: maps/, programs/ and links/ (of the socket hooks). */
int datapath_load(const char *dir, unsigned long long netns_cookie, __u32 connections, struct error *err);

struct datapath_options {
	unsigned long long netns_cookie; /* of the host */
	__u32 connections;               /* that there is room for */
	/* The maps for which shares() says true are those of a host that runs, the others new and empty. */
	const char *share_from; /* host.dir, or NULL: all are new */
	bool (*shares)(const char *map);
	/* The programs that are wanted, up to a NULL; NULL: all that a host's datapath consists of. */
	const char *const *programs;
};

/*
 * The programs and maps as the kernel has them, for as long as the object is open, attached and pinned nowhere. NULL
 * with err. Its hash has a key of its own: an index of connections or bindings that another one has made is none here.
 */
struct nsbpf *datapath_open(const struct datapath_options *options, struct error *err);
void datapath_close(struct nsbpf *skel);
/* Its descriptors, by name ("connections", "from_endpoint"), which end with it; or -errno. */
int datapath_map(const struct nsbpf *skel, const char *name);
int datapath_program(const struct nsbpf *skel, const char *name);

/* Makes maps/, programs/ and links/ in dir, and pins what commands need later; links/ stays empty. */
int datapath_pin(const struct nsbpf *skel, const char *dir, struct error *err);
/* From here on connections end: the timer that goes over them. */
int datapath_make_sweep(const struct nsbpf *skel, struct error *err);
/* Where maps are shared: builds conn_index and bindings from what `connections`, `deadlines` and `nat_ports` have. How
 * many connections there was no room for, or that are there twice; -1 with err. */
int datapath_index(const struct nsbpf *skel, __u32 connections, struct error *err);

/* What a map is pinned as, or NULL. */
struct bpf_map;
const char *datapath_pin_name(const struct bpf_map *map);

/* The i-th of the hooks on the host's sockets, whose links are pinned in links/ by this name; NULL behind the last. */
const char *datapath_socket_hook(size_t i);
/* Is it attached, by the link that is pinned in this directory? */
bool datapath_has_socket_hook(const char *dir, const char *name);
/* Attaches those that are not: by programs that are loaded once more, as they went with their links. */
int datapath_mend_socket_hooks(const struct host *host, struct error *err);

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
/* What of others sees a packet on the same hook before ours does, in words: "BPF program 12 trace", until each()
 * returns non-zero. XDP comes before all of it, and is not among these. That, or -errno. */
typedef int other_program_fn(const char *text, void *arg);
int datapath_others_before(const struct host *host, unsigned int ifindex, enum hook hook, other_program_fn *each,
			   void *arg);
/* Never fails for a device that is gone. With remove_qdisc the clsact qdisc goes as well, if no filter is left in it.
 */
int datapath_detach(const struct host *host, unsigned int ifindex, enum hook hook, bool remove_qdisc);

#endif
