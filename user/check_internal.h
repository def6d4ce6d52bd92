/* SPDX-License-Identifier: GPL-2.0-only */
/* What the check_*.c files share. */
#ifndef NSBPF_CHECK_INTERNAL_H
#define NSBPF_CHECK_INTERNAL_H

#include "check.h"
#include "endpoint_internal.h"

/* A callback for addr_each(): is it the link_addr behind arg, device aside? */
int check_match_addr(const struct link_addr *addr, void *arg);
/* Its MAC, its MTU, and whether it is up; `nl` is of the namespace that it is in. */
void check_device(struct check *check, struct nl *nl, const struct link *link, const unsigned char mac[6],
		  unsigned int mtu);
/* What is inside: devices, addresses, default routes. */
void check_namespace(struct check *check, const struct endpoint *endpoint, const struct network *network, int ns_fd);

#endif
