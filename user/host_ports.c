/* SPDX-License-Identifier: GPL-2.0-only */
/* Compares a mapping with the ports that sockets of the host have. */
#include "host_ports.h"

#include <stdio.h>

#include "addr.h"
#include "nl.h"

struct search {
	const struct mapping *mapping;
	bool with6;
	char *text;
	size_t size;
};

static bool is_any4(const struct nsbpf_addr *addr)
{
	return addr_is4(addr) && !addr_to4(addr);
}

/* Does the socket get what is sent to this address of the host? */
static bool serves(const struct host_socket *socket, const struct nsbpf_addr *addr)
{
	if (is_any4(&socket->addr))
		return addr_is4(addr);
	if (addr_is_any(&socket->addr))
		return !(socket->v6only && addr_is4(addr));
	return addr_equal(&socket->addr, addr);
}

static bool addresses_meet(const struct search *search, const struct host_socket *socket)
{
	const struct nsbpf_addr *addr = &search->mapping->addr;

	if (!addr_is_any(addr))
		return serves(socket, addr);
	/* For any address: of both families, if the endpoint has both, but never a link-local one. */
	return !socket->v6only || (search->with6 && !IN6_IS_ADDR_LINKLOCAL(&socket->addr));
}

static int check(const struct host_socket *socket, void *arg)
{
	struct search *search = arg;
	const struct mapping *m = search->mapping;
	char holder[64], addr[ADDR_TEXT];

	if (socket->port < m->first || socket->port > m->last || !addresses_meet(search, socket))
		return 0;
	if (host_socket_holder(socket->inode, holder, sizeof(holder)))
		snprintf(holder, sizeof(holder), "a socket of the kernel or of a process out of sight");
	snprintf(search->text, search->size, addr_is4(&socket->addr) ? "%s on %s:%u" : "%s on [%s]:%u", holder,
		 addr_format(&socket->addr, addr), socket->port);
	return 1;
}

int host_port_holder(const struct mapping *mapping, bool with6, char *text, size_t size)
{
	struct search search = { mapping, with6, text, size };

	return host_socket_each(mapping->proto, check, &search);
}
