/* SPDX-License-Identifier: GPL-2.0-only */
/* Exposed ports: who else wants them, and does anybody listen behind them? */
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>

#include "cleanup.h"
#include "doctor.h"
#include "endpoints.h"
#include "host_ports.h"
#include "mappings.h"
#include "netns.h"

/* Local ports of a namespace's sockets, a bit each. */
struct ports {
	unsigned char tcp[65536 / 8], udp[65536 / 8];
};

struct looking {
	struct doctor *doctor;
	struct ports *host;
	struct ports *endpoints[NSBPF_MAX_ENDPOINTS]; /* by slot; only of those that were asked about */
	unsigned int local_first, local_last;         /* ip_local_port_range */
	unsigned int silent;                          /* behind which nobody listens */
};

static int note_tcp(const struct host_socket *socket, void *arg)
{
	((struct ports *)arg)->tcp[socket->port / 8] |= 1 << socket->port % 8;
	return 0;
}

static int note_udp(const struct host_socket *socket, void *arg)
{
	((struct ports *)arg)->udp[socket->port / 8] |= 1 << socket->port % 8;
	return 0;
}

/* On the heap, or NULL. */
static struct ports *read_ports(int ns_fd)
{
	struct ports *ports = calloc(1, sizeof(*ports));

	if (ports && !socket_each_at(ns_fd, IPPROTO_TCP, note_tcp, ports) &&
	    !socket_each_at(ns_fd, IPPROTO_UDP, note_udp, ports))
		return ports;
	free(ports);
	return NULL;
}

/* Does any socket have one of these ports? */
static bool is_any_bound(const struct ports *ports, __u8 proto, unsigned int first, unsigned int count)
{
	const unsigned char *bits = proto == IPPROTO_TCP ? ports->tcp : ports->udp;

	for (unsigned int port = first; port < first + count && port < 65536; port++)
		if (bits[port / 8] >> port % 8 & 1)
			return true;
	return false;
}

static void look_at_holder(struct looking *l, const struct mapping *mapping, const struct endpoint *endpoint,
			   const char *subject)
{
	char holder[128];

	if (!is_any_bound(l->host, mapping->proto, mapping->first, mapping->last - mapping->first + 1) ||
	    host_port_holder(mapping, !addr_is_any(&endpoint->addr6), holder, sizeof(holder)) <= 0)
		return;
	doctor_say(l->doctor, LEVEL_WARNING, subject, "exposed to %s, and %s serves it, too", endpoint->name, holder);
	doctor_why(l->doctor,
		   "what comes from outside goes to the endpoint: that socket of the host gets nothing of it");
	doctor_fix(l->doctor, "nsbpf unexpose %s PORTS, as `nsbpf ports` has them", endpoint->name);
}

static void look_at_listener(struct looking *l, const struct mapping *mapping, const struct endpoint *endpoint,
			     const char *subject)
{
	_cleanup_close_ int ns_fd = -1;
	struct ports **ports = &l->endpoints[mapping->endpoint];

	if (!*ports) {
		ns_fd = netns_open(endpoint->name);
		*ports = ns_fd < 0 ? NULL : read_ports(ns_fd);
	}
	if (!*ports || is_any_bound(*ports, mapping->proto, mapping->target, mapping->last - mapping->first + 1) ||
	    ++l->silent > DOCTOR_ALIKE)
		return;
	doctor_say(l->doctor, LEVEL_WARNING, subject, "nobody listens on port %u in %s", mapping->target,
		   endpoint->name);
	doctor_why(l->doctor, "who connects is refused by the endpoint itself");
	doctor_fix(l->doctor, "nsbpf exec %s -- ss -ln", endpoint->name);
}

static void look_at_range(struct looking *l, const struct mapping *mapping, const struct endpoint *endpoint,
			  const char *subject)
{
	if (mapping->proto != IPPROTO_UDP || mapping->last < l->local_first || mapping->first > l->local_last)
		return;
	doctor_say(l->doctor, LEVEL_NOTE, subject, "within ip_local_port_range (%u to %u)", l->local_first,
		   l->local_last);
	doctor_why(l->doctor, "a UDP socket of the host may choose it as its own, and loses its answers to %s",
		   endpoint->name);
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
	look_at_listener(l, mapping, &endpoint, subject);
	look_at_range(l, mapping, &endpoint, subject);
	return 0;
}

static void look(struct looking *l)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
	_cleanup_close_ int ns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);

	l->host = ns_fd < 0 ? NULL : read_ports(ns_fd);
	if (!l->host || !f || fscanf(f, "%u %u", &l->local_first, &l->local_last) != 2)
		doctor_say(l->doctor, LEVEL_NOTE, "ports", "the host's sockets cannot be looked at");
	else
		mapping_each(&l->doctor->host, look_at_mapping, l);
	doctor_more(l->doctor, "ports", l->silent, "exposed ports behind which nobody listens");
	free(l->host);
	for (unsigned int slot = 0; slot < NSBPF_MAX_ENDPOINTS; slot++)
		free(l->endpoints[slot]);
}

void doctor_ports(struct doctor *d)
{
	look(&(struct looking){ .doctor = d });
}
