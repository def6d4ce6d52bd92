/* SPDX-License-Identifier: GPL-2.0-only */
/* The words of `expose`. */
#include "exposure.h"

#include <stdio.h>
#include <string.h>

int exposure_take_ports(struct exposure *exposure, const char *text, struct error *err)
{
	const char *why;

	if (port_spec_parse(text, &exposure->ports, &why))
		return fail(err, EXIT_USAGE, "ports %s: %s", text, why);
	if (IN6_IS_ADDR_LINKLOCAL(&exposure->ports.addr))
		return fail(err, EXIT_USAGE, "ports %s: a link-local address cannot be exposed", text);
	return 0;
}

/* Clients of the other family than the exposed address's own never come by it. */
int exposure_take_source(struct exposure *exposure, const char *text, struct error *err)
{
	const struct nsbpf_addr *exposed = &exposure->ports.addr;
	struct cidr source;

	if (exposure->nsources == NSBPF_MAX_SOURCES)
		return fail(err, EXIT_USAGE, "from can be given %d times at most", NSBPF_MAX_SOURCES);
	if (cidr_parse(text, &source))
		return fail(err, EXIT_USAGE, "from %s: not an address or prefix", text);
	if (cidr_has_host_bits(&source))
		return fail(err, EXIT_USAGE, "from %s has bits set behind its prefix", text);
	if (!addr_is_any(exposed) && addr_is4(exposed) != addr_is4(&source.addr))
		return fail(err, EXIT_USAGE, "from %s: nobody there has an address of the family of the exposed one",
			    text);
	exposure->sources[exposure->nsources++] = source;
	return 0;
}

int exposure_compare(const struct exposure *a, const struct exposure *b)
{
	int addrs = memcmp(&a->ports.addr, &b->ports.addr, sizeof(a->ports.addr));

	if (a->ports.udp != b->ports.udp)
		return a->ports.udp - b->ports.udp;
	return addrs ? addrs : a->ports.first - b->ports.first;
}

bool exposure_overlaps(const struct exposure *a, const struct exposure *b)
{
	return a->ports.udp == b->ports.udp && addr_equal(&a->ports.addr, &b->ports.addr) &&
	       a->ports.first <= b->ports.last && b->ports.first <= a->ports.last;
}

const char *exposure_format(const struct exposure *exposure, char text[EXPOSURE_TEXT])
{
	const struct port_spec *p = &exposure->ports;
	char addr[ADDR_TEXT + 3] = "", plain[ADDR_TEXT], last[8] = "", target[8] = "";
	const char *proto = p->tcp && p->udp ? "/both" : p->udp ? "/udp" : "";

	if (!addr_is_any(&p->addr))
		snprintf(addr, sizeof(addr), addr_is4(&p->addr) ? "%s:" : "[%s]:", addr_format(&p->addr, plain));
	if (p->last != p->first)
		snprintf(last, sizeof(last), "-%u", p->last);
	if (p->target != p->first)
		snprintf(target, sizeof(target), ":%u", p->target);
	snprintf(text, EXPOSURE_TEXT, "%s%u%s%s%s", addr, p->first, last, target, proto);
	return text;
}
