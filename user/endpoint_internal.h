/* SPDX-License-Identifier: GPL-2.0-only */
/* What the endpoint_*.c files share. */
#ifndef NSBPF_ENDPOINT_INTERNAL_H
#define NSBPF_ENDPOINT_INTERNAL_H

#include "endpoints.h"
#include "networks.h"

/* A host veth's alias begins with this, so that no other device is ever taken for one. */
#define ENDPOINT_ALIAS "nsbpf endpoint "
/* The other end's name. */
#define NS_DEVICE "eth0"

int endpoint_write(const struct host *host, unsigned int slot, const struct endpoint *endpoint, struct error *err);
/* Those asked for, or free ones. `mtu` is in the record already: too small a one allows no IPv6. */
int endpoint_choose_addresses(const struct host *host, const struct network *network, struct endpoint_spec *spec,
			      struct endpoint *endpoint, struct error *err);
/* One of its addresses, for the datapath to find it by; all zero is none. 0 or -errno. */
int endpoint_note_address(struct host *host, unsigned int slot, const struct nsbpf_addr *addr);
int endpoint_forget_address(struct host *host, const struct nsbpf_addr *addr);
/* It shall be without IPv6, for this reason: 0, or -1 with err if it was asked for. */
int endpoint_without_ipv6(struct endpoint_spec *spec, const char *why, struct error *err);
/* Addresses and routes on both ends, which are up then. IPv6 may turn out to be missing inside: see above. */
int endpoint_configure(struct host *host, unsigned int slot, struct endpoint *endpoint, const struct network *network,
		       int ns_fd, struct endpoint_spec *spec, struct error *err);
/* A netlink socket in its namespace, which the caller closes in any case, and its device there. 0 or -errno. */
int endpoint_open_inside(const struct endpoint *endpoint, struct nl **nl, struct link *device);
/* How it is reached and reaches others, in one family. The number of its own device is left to who knows it. */
struct ways {
	struct link_addr address; /* inside */
	struct route inside;      /* its default route */
	struct route outside;     /* to it, on the host */
	struct link_addr gateway; /* of IPv4: on the host veth */
};

/* False: it is not in this family. */
bool endpoint_ways(const struct endpoint *endpoint, const struct network *network, int family, struct ways *ways);
/* Should from_endpoint be missing, its namespace does not make itself a router of the host. 0 or -errno. */
int endpoint_refuse_advertisements(const struct endpoint *endpoint, unsigned int slot);
/* The pair of devices, down, one end in the namespace. */
int endpoint_make_veth(struct host *host, unsigned int slot, const struct endpoint *endpoint, int ns_fd,
		       struct error *err);
/* What was lost of its IPv6 by switching that off and on again. 1 if there was anything, 0 if not, -1 with err. */
int endpoint_mend(struct host *host, const struct endpoint *endpoint, const struct network *network, struct error *err);
/* /etc/netns/NAME/resolv.conf, if it is ours to write; spec->resolvers are what it says then. */
int endpoint_write_resolv_conf(const struct endpoint *endpoint, struct endpoint_spec *spec, struct error *err);
/* All that the record says, in an order that ends with packets being let through; then it is ready. On failure the
 * caller removes what there is. */
int endpoint_make(struct host *host, unsigned int slot, struct endpoint *endpoint, const struct network *network,
		  struct endpoint_spec *spec, struct error *err);
/* Takes away whatever there is of it, complete or not, and frees the slot. Can be repeated until it succeeds. */
int endpoint_remove(struct host *host, unsigned int slot, struct endpoint *endpoint, bool keep, struct error *err);

#endif
