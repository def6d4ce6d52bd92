/* SPDX-License-Identifier: GPL-2.0-only */
/* The words of an endpoint's options. */
#include "endpoint_options.h"

#include <stddef.h>
#include <string.h>

static int take_ip(struct endpoint_options *o, const char *text, struct error *err)
{
	if (addr_pair_parse(text, &o->spec.ip))
		return fail(err, EXIT_USAGE, "ip %s: an address, or one of each family with a comma, is wanted", text);
	o->spec.ip6_wanted = !addr_is_any(&o->spec.ip.v6);
	return 0;
}

static int take_network(struct endpoint_options *o, const char *text, struct error *err)
{
	if (name_check(text))
		return fail(err, EXIT_USAGE, "network '%s' is no name", text);
	o->spec.network = strcpy(o->network, text);
	return 0;
}

static int take_mac(struct endpoint_options *o, const char *text, struct error *err)
{
	if (mac_parse(text, o->mac))
		return fail(err, EXIT_USAGE, "mac %s: not a unicast MAC address", text);
	o->spec.mac = o->mac;
	return 0;
}

static int take_mtu(struct endpoint_options *o, const char *text, struct error *err)
{
	unsigned long number;

	if (number_parse(text, 576, 65535, &number))
		return fail(err, EXIT_USAGE, "mtu %s: a number from 576 to 65535 is wanted", text);
	o->mtu = number;
	o->spec.mtu = &o->mtu;
	return 0;
}

static int take_max_connections(struct endpoint_options *o, const char *text, struct error *err)
{
	unsigned long number = 0;

	if (strcmp(text, "auto") && number_parse(text, 0, NSBPF_MAX_CONNECTIONS, &number))
		return fail(err, EXIT_USAGE, "max-connections %s: auto or a number up to %d is wanted", text,
			    NSBPF_MAX_CONNECTIONS);
	o->max_connections = number;
	o->spec.max_connections = &o->max_connections;
	return 0;
}

/* "host", "none", or addresses with commas between them. */
static int take_dns(struct endpoint_options *o, const char *text, struct error *err)
{
	struct resolvers *r = &o->spec.resolvers;
	char copy[1024], *rest = copy, *word;

	o->dns_said = true;
	o->spec.dns = !strcmp(text, "host") ? DNS_HOST : !strcmp(text, "none") ? DNS_NONE : DNS_GIVEN;
	if (o->spec.dns != DNS_GIVEN)
		return 0;
	if (strlen(text) >= sizeof(copy) || !*text)
		return fail(err, EXIT_USAGE, "dns %s: addresses, host or none is wanted", text);
	strcpy(copy, text);
	while ((word = strsep(&rest, ","))) {
		if (r->nservers == RESOLV_MAX_SERVERS)
			return fail(err, EXIT_USAGE, "dns takes %d addresses at most", RESOLV_MAX_SERVERS);
		if (addr_parse(word, &r->servers[r->nservers++]))
			return fail(err, EXIT_USAGE, "dns %s: '%s' is not an address", text, word);
	}
	return 0;
}

int endpoint_options_name(struct endpoint_options *options, const char *name, struct error *err)
{
	options->spec.name = options->name;
	return name_take(options->name, name, err);
}

struct key {
	const char *key;
	int (*take)(struct endpoint_options *, const char *text, struct error *);
};

static const struct key *find_key(const char *key)
{
	static const struct key keys[] = {
		{ "ip", take_ip },   { "network", take_network }, { "mac", take_mac },
		{ "mtu", take_mtu }, { "dns", take_dns },         { "max-connections", take_max_connections },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].key, key))
			return &keys[i];
	return NULL;
}

int endpoint_options_know(const char *key, struct error *err)
{
	if (find_key(key))
		return 0;
	return fail(err, EXIT_USAGE,
		    "'%s' is no key of an endpoint: network, ip, mac, mtu, dns, max-connections and ports are", key);
}

int endpoint_options_take(struct endpoint_options *options, const char *key, const char *text, struct error *err)
{
	return endpoint_options_know(key, err) || find_key(key)->take(options, text, err) ? -1 : 0;
}
