/* SPDX-License-Identifier: GPL-2.0-only */
/* Endpoints: namespaces attached to a network. */
#ifndef NSBPF_ENDPOINTS_H
#define NSBPF_ENDPOINTS_H

#include "addr.h"
#include "host.h"
#include "resolv.h"

enum dns_mode {
	DNS_HOST,  /* the host's upstream resolvers */
	DNS_NONE,  /* no resolv.conf is written */
	DNS_GIVEN, /* these */
};

struct endpoint_spec {
	const char *name;
	const char *network;                 /* NULL: default */
	struct addr_pair ip;                 /* all zero: one that is free */
	bool ip6_wanted;                     /* without it there shall be no endpoint */
	const unsigned char *mac;            /* NULL: from the address */
	const unsigned int *mtu;             /* NULL: the network's */
	const unsigned int *max_connections; /* NULL: not said; 0: a fair share */
	enum dns_mode dns;
	struct resolvers resolvers; /* for DNS_GIVEN; filled in for DNS_HOST */
	const char *without_ipv6;   /* filled in: why it has none, or NULL */
};

/* What a spec leaves open, as the endpoint had it before its namespace went; but not its exposed ports: nobody listens
 * there any more. The spec points in there from then on. */
struct endpoint_inherited {
	struct network network;
	unsigned char mac[6];
	unsigned int mtu, max_connections;
};

void endpoint_inherit(const struct host *host, const struct endpoint *old, struct endpoint_inherited *in,
		      struct endpoint_spec *spec);

/* The slot, or -1. An endpoint that is being made or removed is found, too. */
int endpoint_find(const struct host *host, const char *name, struct endpoint *endpoint);
int endpoint_find_in_network(const struct host *host, unsigned int network, struct endpoint *endpoint);
int endpoint_get(const struct host *host, unsigned int slot, struct endpoint *endpoint); /* 0, or -ENOENT */
int endpoint_each(const struct host *host, int (*each)(unsigned int slot, const struct endpoint *, void *arg),
		  void *arg);
size_t endpoint_count(const struct host *host);
/* The slot of a ready endpoint, or -1 with err. */
int endpoint_require(const struct host *host, const char *name, struct endpoint *endpoint, struct error *err);

enum endpoint_condition {
	ENDPOINT_UP,
	ENDPOINT_INCOMPLETE, /* a command was killed: repeat it, or `del` */
	ENDPOINT_GONE,       /* its namespace or veth was removed behind our back: `add` or `del` */
};

enum endpoint_condition endpoint_condition(const struct host *host, const struct endpoint *endpoint);

/* 1 if done, 0 if already so, -1 with err; *endpoint is what is there then. */
int endpoint_add(struct host *host, struct endpoint_spec *spec, struct endpoint *endpoint, struct error *err);
/* What can change while it is up: the spec's mtu and max_connections, if said, and with `dns` its resolvers. 1 if done,
 * 0 if already so, -1 with err. */
int endpoint_set(struct host *host, struct endpoint_spec *spec, bool dns, struct error *err);
/* The ways to all endpoints by IPv6, on the host's side: as if it had been switched off and on. 0, or -1 with err. */
int endpoints_mend(struct host *host, struct error *err);
/* keep: the namespace stays. 1 if done, 0 if there was none, -1 with err. */
int endpoint_delete(struct host *host, const char *name, bool keep, struct error *err);

struct addr_pair endpoint_addresses(const struct endpoint *endpoint);

/* The device's name on the host's side: nsb-NAME, or nsbSLOT where that is too long. */
void endpoint_device(const struct endpoint *endpoint, unsigned int slot, char name[IFNAMSIZ]);

/* Sums over all CPUs; 0 or -errno. */
int endpoint_stats(const struct host *host, unsigned int slot, struct endpoint_stats *stats);
/* A slot's next endpoint begins at zero. 0 or -errno. */
int endpoint_reset_stats(const struct host *host, unsigned int slot);

#endif
