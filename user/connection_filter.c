/* SPDX-License-Identifier: GPL-2.0-only */
/* Filters of connections. */
#include "connection_filter.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "endpoints.h"

/* Beyond the bits of enum conn_state. */
#define STATE_UNREPLIED (1U << CONN_STATES)
#define STATE_ASSURED (1U << (CONN_STATES + 1))

void filter_options(struct filter_words *words, struct option_spec options[])
{
	const struct option_spec specs[FILTER_OPTIONS] = {
		{ .name = "family", .letter = 'f', .value = &words->family },
		{ .name = "proto", .letter = 'p', .value = &words->proto },
		{ .name = "src", .letter = 's', .value = &words->source },
		{ .name = "dst", .letter = 'd', .value = &words->destination },
		{ .name = "sport", .value = &words->sport },
		{ .name = "dport", .value = &words->dport },
		{ .name = "icmp-id", .value = &words->id },
		{ .name = "state", .value = &words->state },
		{ .name = "endpoint", .value = &words->endpoint },
		{ .name = "nat", .value = &words->nat },
	};

	memcpy(options, specs, sizeof(specs));
}

int protocol_parse(const char *text)
{
	static const __u8 all[] = { IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6 };

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (!strcasecmp(text, protocol_name(all[i])))
			return all[i];
	return -1;
}

static int parse_family(struct connection_filter *f, const char *text, struct error *err)
{
	f->family = !strcasecmp(text, "ipv4") ? 4 : !strcasecmp(text, "ipv6") ? 6 : 0;
	return f->family ? 0 : fail(err, EXIT_USAGE, "--family %s: ipv4 or ipv6 is wanted", text);
}

static int parse_proto(struct connection_filter *f, const char *text, struct error *err)
{
	int proto = protocol_parse(text);

	if (proto < 0)
		return fail(err, EXIT_USAGE, "--proto %s: tcp, udp, icmp or icmpv6 is wanted", text);
	f->proto = proto;
	return 0;
}

static int parse_prefix(const char *option, const char *text, struct cidr *cidr, bool *has, struct error *err)
{
	if (cidr_parse(text, cidr) || cidr_has_host_bits(cidr))
		return fail(err, EXIT_USAGE, "--%s %s: an address or a prefix is wanted", option, text);
	*has = true;
	return 0;
}

static int parse_port(const char *option, const char *text, __u16 *port, bool *has, struct error *err)
{
	unsigned long number;

	if (number_parse(text, 0, 65535, &number))
		return fail(err, EXIT_USAGE, "--%s %s: a number from 0 to 65535 is wanted", option, text);
	*port = number;
	*has = true;
	return 0;
}

/* The bit of a state, with or without "tcp-"; 0: there is none of that name. */
static __u32 state_bit(const char *text)
{
	for (int state = 0; state < CONN_STATES; state++) {
		const char *name = connection_state_name(state), *dash = strchr(name, '-');

		if (!strcasecmp(text, name) || (dash && !strcasecmp(text, dash + 1)))
			return 1U << state;
	}
	if (!strcasecmp(text, "unreplied"))
		return STATE_UNREPLIED;
	return strcasecmp(text, "assured") ? 0 : STATE_ASSURED;
}

static int parse_states(struct connection_filter *f, const char *text, struct error *err)
{
	char word[32];
	size_t length;

	for (const char *at = text;; at += length + 1) {
		length = strcspn(at, ",");
		snprintf(word, sizeof(word), "%.*s", (int)length, at);
		if (length >= sizeof(word) || !state_bit(word))
			return fail(err, EXIT_USAGE,
				    "--state %s: syn, established, fin, closing, reset, udp, icmp, unreplied, "
				    "assured, or some of these with commas are wanted",
				    text);
		f->states |= state_bit(word);
		if (!at[length])
			return 0;
	}
}

static int parse_nat(struct connection_filter *f, const char *text, struct error *err)
{
	f->nat = !strcasecmp(text, "snat") ? CONN_SNAT : !strcasecmp(text, "dnat") ? CONN_DNAT : 0;
	return f->nat ? 0 : fail(err, EXIT_USAGE, "--nat %s: snat or dnat is wanted", text);
}

static int family_of(const struct cidr *cidr)
{
	return addr_is4(&cidr->addr) ? 4 : 6;
}

static bool is_icmp(__u8 proto)
{
	return proto == IPPROTO_ICMP || proto == IPPROTO_ICMPV6;
}

/* What nothing can ever match is a mistake. */
static int check_sense(const struct connection_filter *f, struct error *err)
{
	bool ports = f->has_sport || f->has_dport;
	int family = f->family ? f->family : f->proto == IPPROTO_ICMP ? 4 : f->proto == IPPROTO_ICMPV6 ? 6 : 0;

	if (f->has_source && !family)
		family = family_of(&f->source);
	if ((f->has_source && family_of(&f->source) != family) ||
	    (f->has_destination && family && family_of(&f->destination) != family) ||
	    (f->proto == IPPROTO_ICMP && family != 4) || (f->proto == IPPROTO_ICMPV6 && family != 6))
		return fail(err, EXIT_USAGE, "IPv4 and IPv6 in one filter");
	if (ports && is_icmp(f->proto))
		return fail(err, EXIT_USAGE, "%s has no ports, but --icmp-id", protocol_name(f->proto));
	if (f->has_id && (ports || (f->proto && !is_icmp(f->proto))))
		return fail(err, EXIT_USAGE, "--icmp-id is for icmp and icmpv6, which have no ports");
	return 0;
}

int filter_parse(struct connection_filter *f, const struct filter_words *words, struct error *err)
{
	*f = (struct connection_filter){ .endpoint = words->endpoint };
	if ((words->family && parse_family(f, words->family, err)) ||
	    (words->proto && parse_proto(f, words->proto, err)) ||
	    (words->source && parse_prefix("src", words->source, &f->source, &f->has_source, err)) ||
	    (words->destination &&
	     parse_prefix("dst", words->destination, &f->destination, &f->has_destination, err)) ||
	    (words->sport && parse_port("sport", words->sport, &f->sport, &f->has_sport, err)) ||
	    (words->dport && parse_port("dport", words->dport, &f->dport, &f->has_dport, err)) ||
	    (words->id && parse_port("icmp-id", words->id, &f->id, &f->has_id, err)) ||
	    (words->state && parse_states(f, words->state, err)) || (words->nat && parse_nat(f, words->nat, err)))
		return -1;
	return check_sense(f, err);
}

int filter_settle(struct connection_filter *f, const struct host *host, struct error *err)
{
	struct endpoint endpoint;
	int slot;

	if (!f->endpoint)
		return 0;
	slot = host->running ? endpoint_find(host, f->endpoint, &endpoint) : -1;
	if (slot < 0)
		return fail(err, EXIT_MISSING, "no endpoint %s", f->endpoint);
	f->slot = slot;
	return 0;
}

bool filter_is_empty(const struct connection_filter *f)
{
	return !f->family && !f->proto && !f->nat && !f->has_source && !f->has_destination && !f->has_sport &&
	       !f->has_dport && !f->has_id && !f->states && !f->endpoint;
}

/* One of its ends: a connection between two endpoints is both's. */
static bool is_endpoints(const struct conn *conn, unsigned int slot)
{
	return conn->targets[DIR_ORIGINAL] == slot || conn->targets[DIR_REPLY] == slot;
}

static bool has_state(const struct connection_view *view, __u32 states)
{
	return states & 1U << view->state || (states & STATE_UNREPLIED && !connection_is_replied(view)) ||
	       (states & STATE_ASSURED && connection_is_assured(view));
}

bool filter_matches(const struct connection_filter *f, const struct connection_view *view)
{
	const struct tuple *original = &view->conn.tuples[DIR_ORIGINAL];
	bool query = connection_is_query(view);

	return (!f->family || addr_is4(&original->saddr) == (f->family == 4)) &&
	       (!f->proto || f->proto == original->proto) &&
	       (!f->has_source || cidr_contains(&f->source, &original->saddr)) &&
	       (!f->has_destination || cidr_contains(&f->destination, &original->daddr)) &&
	       (!f->has_sport || (!query && ntohs(original->sport) == f->sport)) &&
	       (!f->has_dport || (!query && ntohs(original->dport) == f->dport)) &&
	       (!f->has_id || (query && connection_source_port(view, DIR_ORIGINAL) == f->id)) &&
	       (!f->states || has_state(view, f->states)) && (!f->nat || view->conn.flags & f->nat) &&
	       (!f->endpoint || is_endpoints(&view->conn, f->slot));
}
