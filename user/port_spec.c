/* SPDX-License-Identifier: GPL-2.0-only */
/* Port specifications: [ADDR:]P[-P][:TARGET][/tcp|udp|both]. */
#include "addr.h"

#include <errno.h>
#include <string.h>

/* The helpers return why they refuse, NULL if they don't. */

/* Ends text at the first c and returns what is behind it, NULL if there is no c. */
static char *cut(char *text, char c)
{
	char *found = strchr(text, c);

	if (!found)
		return NULL;
	*found = '\0';
	return found + 1;
}

static const char *parse_protocol(const char *text, struct port_spec *spec)
{
	bool both = text && !strcmp(text, "both");

	spec->tcp = both || !text || !strcmp(text, "tcp");
	spec->udp = both || (text && !strcmp(text, "udp"));
	return spec->tcp || spec->udp ? NULL : "the protocol is tcp, udp or both";
}

/* Moves *text past the address, if it begins with one. */
static const char *parse_addr(char **text, struct port_spec *spec)
{
	bool bracket = **text == '[';
	char *rest, *addr = *text;

	if (bracket) {
		rest = cut(++addr, ']');
		if (!rest)
			return "the ']' is missing";
		if (!strchr(addr, ':'))
			return "only an IPv6 address goes in brackets";
		if (*rest != ':')
			return "a port is missing";
		rest++;
	} else {
		if (addr[strcspn(addr, ".:")] != '.')
			return strstr(addr, "::") ? "an IPv6 address needs brackets" : NULL;
		rest = cut(addr, ':');
	}
	if (addr_parse(addr, &spec->addr))
		return bracket ? "not an IPv6 address" : "not an IPv4 address";
	if (!rest)
		return "a port is missing";
	if (addr_is_any(&spec->addr) || (addr_is4(&spec->addr) && !addr_to4(&spec->addr)))
		return "for every address of the host, leave the address out";
	*text = rest;
	return NULL;
}

static const char *parse_range(char *text, __u16 *first, __u16 *last)
{
	char *end = cut(text, '-');
	unsigned long low, high;

	if (!*text || (end && !*end))
		return "a port is missing";
	if (number_parse(text, 1, 65535, &low) || number_parse(end ? end : text, 1, 65535, &high))
		return "a port is a number from 1 to 65535";
	if (high < low)
		return "the last port is below the first";
	*first = low;
	*last = high;
	return NULL;
}

static const char *parse_ports(char *text, struct port_spec *spec)
{
	char *target = cut(text, ':');
	const char *why;
	bool ranged;
	__u16 end;

	if (target && strchr(target, ':'))
		return "an IPv6 address needs brackets";
	why = parse_range(text, &spec->first, &spec->last);
	if (why)
		return why;
	spec->target = spec->first;
	if (!target)
		return NULL;

	spec->has_target = true;
	ranged = strchr(target, '-');
	why = parse_range(target, &spec->target, &end);
	if (why)
		return why;
	if (ranged && end - spec->target != spec->last - spec->first)
		return "the two ranges differ in length";
	if (spec->target + (spec->last - spec->first) > 65535)
		return "the target range ends above 65535";
	return NULL;
}

int port_spec_parse(const char *text, struct port_spec *spec, const char **why)
{
	struct port_spec result = {};
	char copy[128], *ports = copy;
	const char *reason;

	if (strlen(text) >= sizeof(copy)) {
		*why = "it is too long";
		return -EINVAL;
	}
	strcpy(copy, text);

	reason = parse_protocol(cut(copy, '/'), &result);
	if (!reason)
		reason = parse_addr(&ports, &result);
	if (!reason)
		reason = parse_ports(ports, &result);
	if (reason) {
		*why = reason;
		return -EINVAL;
	}
	*spec = result;
	return 0;
}
