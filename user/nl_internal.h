/* SPDX-License-Identifier: GPL-2.0-only */
/* What the nl_*.c files share: building a request, sending it, walking over the answers. Nobody else includes it. */
#ifndef NSBPF_NL_INTERNAL_H
#define NSBPF_NL_INTERNAL_H

#include <libmnl/libmnl.h>
#include <stddef.h>

#include "nl.h"

struct nl {
	struct mnl_socket *socket;
	unsigned int seq;
};

/* Room for the longest, a veth pair; who puts in a caller's string checks its length first. */
union nl_request {
	struct nlmsghdr header;
	char bytes[1024];
};

typedef int nl_message_fn(const struct nlmsghdr *message, void *arg);

/* A socket of another netlink protocol (NETLINK_SOCK_DIAG) in the caller's network namespace. */
int nl_open_protocol(struct nl **nl, int protocol);
/* The same in another one: see nl_open_at(). */
int nl_open_protocol_at(struct nl **nl, int protocol, int netns_fd);

/* Begins a request; returns its family header (struct ifinfomsg, ...) of `size` bytes, zeroed. */
void *nl_request_start(union nl_request *request, unsigned short type, unsigned short flags, size_t size);
/*
 * Sends the request, takes every answer up to the acknowledgement (or the end of a dump), and only then calls each()
 * for every one of them: so each() may use the same socket, and never sees a half of a dump that had to be repeated.
 * A non-zero result of each() ends it and is returned. each may be NULL. -EAGAIN: a dump kept changing underneath.
 */
int nl_talk(struct nl *nl, union nl_request *request, nl_message_fn *each, void *arg);

/* attrs[type] is the attribute of that type, NULL if there is none, for types 0 to max. */
void nl_attrs(const void *payload, size_t size, const struct nlattr **attrs, unsigned int max);
void nl_message_attrs(const struct nlmsghdr *message, size_t header, const struct nlattr **attrs, unsigned int max);

unsigned char nl_family(const struct nsbpf_addr *addr); /* AF_INET or AF_INET6 */
void nl_put_addr(union nl_request *request, unsigned short type, const struct nsbpf_addr *addr);
/* From the 4 or 16 bytes of an address as netlink has it; all zero for any other size. */
struct nsbpf_addr nl_addr(const void *bytes, size_t size);
/* All zero if attr is NULL. */
struct nsbpf_addr nl_attr_addr(const struct nlattr *attr);

#endif
