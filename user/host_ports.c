/* SPDX-License-Identifier: GPL-2.0-only */
/* Compares a mapping with the ports that sockets of the host have. */
#include "host_ports.h"

#include <stdio.h>

#include "addr.h"
#include "nl.h"

struct search {
	const struct mapping *mapping;
	char *text;
	size_t size;
};

/* Both for any address, or one of them, or both for the same. */
static bool addresses_meet(const struct mapping *m, const struct host_socket *socket)
{
	if (addr_is_any(&m->addr) || addr_equal(&m->addr, &socket->addr))
		return true;
	return addr_is_any(&socket->addr) && !(socket->v6only && addr_is4(&m->addr));
}

static int check(const struct host_socket *socket, void *arg)
{
	struct search *search = arg;
	const struct mapping *m = search->mapping;
	char holder[64], addr[ADDR_TEXT];

	if (socket->port < m->first || socket->port > m->last || !addresses_meet(m, socket))
		return 0;
	if (host_socket_holder(socket->inode, holder, sizeof(holder)))
		snprintf(holder, sizeof(holder), "a socket of the kernel or of a process out of sight");
	if (addr_is_any(&socket->addr))
		snprintf(addr, sizeof(addr), "0.0.0.0");
	else
		addr_format(&socket->addr, addr);
	snprintf(search->text, search->size,
		 addr_is4(&socket->addr) || addr_is_any(&socket->addr) ? "%s on %s:%u" : "%s on [%s]:%u", holder, addr,
		 socket->port);
	return 1;
}

int host_port_holder(const struct mapping *mapping, char *text, size_t size)
{
	struct search search = { mapping, text, size };

	return host_socket_each(mapping->proto, check, &search);
}
