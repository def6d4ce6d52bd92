/* SPDX-License-Identifier: GPL-2.0-only */
/* Exposed ports, and who else wants them. */
#include <netinet/in.h>
#include <stdio.h>

#include "cleanup.h"
#include "doctor.h"
#include "endpoints.h"
#include "host_ports.h"
#include "mappings.h"

/* Of the host's sockets, so that only few mappings have to be compared with each of these. */
struct bound {
	bool tcp[65536], udp[65536];
};

struct looking {
	struct doctor *doctor;
	struct bound *bound;
	unsigned int local_first, local_last; /* ip_local_port_range */
};

static int note_tcp(const struct host_socket *socket, void *arg)
{
	((struct bound *)arg)->tcp[socket->port] = true;
	return 0;
}

static int note_udp(const struct host_socket *socket, void *arg)
{
	((struct bound *)arg)->udp[socket->port] = true;
	return 0;
}

static bool is_bound(const struct looking *l, const struct mapping *mapping)
{
	const bool *ports = mapping->proto == IPPROTO_TCP ? l->bound->tcp : l->bound->udp;

	for (unsigned int port = mapping->first; port <= mapping->last; port++)
		if (ports[port])
			return true;
	return false;
}

static void look_at_holder(struct looking *l, const struct mapping *mapping, const struct endpoint *endpoint,
			   const char *subject)
{
	char holder[128];

	if (!is_bound(l, mapping) ||
	    host_port_holder(mapping, !addr_is_any(&endpoint->addr6), holder, sizeof(holder)) <= 0)
		return;
	doctor_say(l->doctor, LEVEL_WARNING, subject, "exposed to %s, and %s serves it, too", endpoint->name, holder);
	doctor_why(l->doctor,
		   "what comes from outside goes to the endpoint: that socket of the host gets nothing of it");
	doctor_fix(l->doctor, "nsbpf unexpose %s PORTS, as `nsbpf ports` has them", endpoint->name);
}

static int look_at_mapping(const struct mapping *mapping, void *arg)
{
	struct looking *l = arg;
	char text[MAPPING_TEXT], subject[MAPPING_TEXT + 8];
	struct endpoint endpoint;

	if (endpoint_get(&l->doctor->host, mapping->endpoint, &endpoint))
		return 0;
	snprintf(subject, sizeof(subject), "port %s", mapping_format(mapping, text));
	look_at_holder(l, mapping, &endpoint, subject);
	if (mapping->proto != IPPROTO_UDP || mapping->last < l->local_first || mapping->first > l->local_last)
		return 0;
	doctor_say(l->doctor, LEVEL_NOTE, subject, "within ip_local_port_range (%u to %u)", l->local_first,
		   l->local_last);
	doctor_why(l->doctor, "a UDP socket of the host may choose it as its own, and loses its answers to %s",
		   endpoint.name);
	return 0;
}

void doctor_ports(struct doctor *d)
{
	_cleanup_free_ struct bound *bound = calloc(1, sizeof(*bound));
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	struct looking l = { .doctor = d, .bound = bound, .local_first = 65536 };

	if (!bound || !f || fscanf(f, "%u %u", &l.local_first, &l.local_last) != 2 ||
	    host_socket_each(IPPROTO_TCP, note_tcp, bound) || host_socket_each(IPPROTO_UDP, note_udp, bound)) {
		doctor_say(d, LEVEL_NOTE, "ports", "the host's sockets cannot be looked at");
		return;
	}
	mapping_each(&d->host, look_at_mapping, &l);
}
