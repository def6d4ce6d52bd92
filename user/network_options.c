/* SPDX-License-Identifier: GPL-2.0-only */
/* The words of a network's options. */
#include "network_options.h"

#include <stddef.h>
#include <string.h>

static int take_subnet4(struct network_options *o, const char *text, struct error *err)
{
	if (cidr_parse(text, &o->subnet4) || !strchr(text, '/'))
		return fail(err, EXIT_USAGE, "subnet %s: not a prefix such as 10.1.0.0/16", text);
	o->spec.subnet4 = &o->subnet4;
	return 0;
}

static int take_subnet6(struct network_options *o, const char *text, struct error *err)
{
	if (cidr_parse(text, &o->subnet6) || !strchr(text, '/'))
		return fail(err, EXIT_USAGE, "subnet6 %s: not a prefix such as fd00:1:2:3::/64", text);
	o->spec.subnet6 = &o->subnet6;
	return 0;
}

static int take_gateway(struct network_options *o, const char *text, struct error *err)
{
	if (addr_pair_parse(text, &o->spec.gateway))
		return fail(err, EXIT_USAGE, "gateway %s: an address, or one of each family with a comma, is wanted",
			    text);
	return 0;
}

static int take_mode(struct network_options *o, const char *text, struct error *err)
{
	o->mode_said = true;
	o->routed = !strcmp(text, MODE_ROUTED);
	if (!o->routed && strcmp(text, MODE_NAT))
		return fail(err, EXIT_USAGE, "mode %s: " MODE_NAT " or " MODE_ROUTED " is wanted", text);
	return 0;
}

static bool can_masquerade(const struct addr_pair *addrs)
{
	return !addr_is_loopback(&addrs->v4) && !addr_is_loopback(&addrs->v6) && !addr_is_link_local(&addrs->v6);
}

static int take_masquerade(struct network_options *o, const char *text, struct error *err)
{
	struct addr_pair addrs;

	o->masquerade = !strcmp(text, "off") ? MASQUERADE_OFF : MASQUERADE_ON;
	if (!strcmp(text, "off") || !strcmp(text, "on"))
		return 0;
	if (addr_pair_parse(text, &addrs) || !can_masquerade(&addrs))
		return fail(err, EXIT_USAGE, "masquerade %s: on, off, or addresses of the host are wanted", text);
	o->masquerade_addrs.v4 = addrs.v4;
	if (!addr_is_any(&addrs.v6))
		o->masquerade_addrs.v6 = addrs.v6;
	return 0;
}

/* For IPv6 alone, where the two families differ; of the files only. */
static int take_masquerade6(struct network_options *o, const char *text, struct error *err)
{
	struct addr_pair addrs;

	o->masquerade6 = !strcmp(text, "off") ? MASQUERADE_OFF : MASQUERADE_ON;
	if (!strcmp(text, "off") || !strcmp(text, "on"))
		return 0;
	if (addr_pair_parse(text, &addrs) || !addr_is_any(&addrs.v4) || !can_masquerade(&addrs))
		return fail(err, EXIT_USAGE, "masquerade6 %s: on, off, or an IPv6 address of the host is wanted", text);
	o->masquerade_addrs.v6 = addrs.v6;
	return 0;
}

static int take_mtu(struct network_options *o, const char *text, struct error *err)
{
	unsigned long number = 0;

	if (strcmp(text, "auto") && number_parse(text, 576, 65535, &number))
		return fail(err, EXIT_USAGE, "mtu %s: auto or a number from 576 to 65535 is wanted", text);
	o->mtu = number;
	o->spec.mtu = &o->mtu;
	return 0;
}

static int take_isolate(struct network_options *o, const char *text, struct error *err)
{
	o->isolate = !strcmp(text, "on");
	if (!o->isolate && strcmp(text, "off"))
		return fail(err, EXIT_USAGE, "isolate %s: on or off is wanted", text);
	o->spec.isolate = &o->isolate;
	return 0;
}

static int take_filtering(struct network_options *o, const char *text, struct error *err)
{
	o->full_cone = !strcmp(text, FILTERING_FULL_CONE);
	if (!o->full_cone && strcmp(text, FILTERING_DEFAULT))
		return fail(err, EXIT_USAGE, "filtering %s: " FILTERING_FULL_CONE " or " FILTERING_DEFAULT " is wanted",
			    text);
	o->spec.full_cone = &o->full_cone;
	return 0;
}

int network_options_name(struct network_options *options, const char *name, struct error *err)
{
	options->spec.name = options->name;
	return name_take(options->name, name, err);
}

struct key {
	const char *key;
	int (*take)(struct network_options *, const char *text, struct error *);
};

static const struct key *find_key(const char *key)
{
	static const struct key keys[] = {
		{ "subnet", take_subnet4 },
		{ "subnet6", take_subnet6 },
		{ "gateway", take_gateway },
		{ "mode", take_mode },
		{ "mtu", take_mtu },
		{ "isolate", take_isolate },
		{ "masquerade6", take_masquerade6 },
		{ "filtering", take_filtering },
		{ "masquerade", take_masquerade },
	};

	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (!strcmp(keys[i].key, key))
			return &keys[i];
	return NULL;
}

int network_options_know(const char *key, struct error *err)
{
	if (find_key(key))
		return 0;
	return fail(err, EXIT_USAGE,
		    "'%s' is no key of a network: subnet, subnet6, gateway, mode, mtu, isolate, masquerade, "
		    "masquerade6 and filtering are",
		    key);
}

int network_options_take(struct network_options *options, const char *key, const char *text, struct error *err)
{
	return network_options_know(key, err) || find_key(key)->take(options, text, err) ? -1 : 0;
}

/* The families that are routed: those of which masquerade says off or, where it says nothing of them, of which the
 * subnet is given. */
static __u8 routed_families(const struct network_options *o)
{
	bool routed4 = o->masquerade == MASQUERADE_OFF, routed6 = o->masquerade6 == MASQUERADE_OFF;

	if (!o->masquerade6) {
		routed6 = routed4 || o->spec.subnet6;
		routed4 = routed4 || o->spec.subnet4;
	}
	return (routed4 ? NETWORK_ROUTED4 : 0) | (routed6 ? NETWORK_ROUTED6 : 0);
}

int network_options_settle(struct network_options *o, const char *dashes, struct error *err)
{
	struct network_spec *spec = &o->spec;

	if (!addr_is_any(&spec->gateway.v4) && !spec->subnet4)
		return fail(err, EXIT_USAGE, "%sgateway needs %ssubnet", dashes, dashes);
	if (!addr_is_any(&spec->gateway.v6) && !spec->subnet6)
		return fail(err, EXIT_USAGE, "%sgateway needs %ssubnet6", dashes, dashes);
	if (!o->routed && (o->masquerade == MASQUERADE_OFF || o->masquerade6 == MASQUERADE_OFF))
		return fail(err, EXIT_USAGE,
			    "%smasquerade off needs %smode " MODE_ROUTED ": the outside has to know the way back",
			    dashes, dashes);
	if (o->mode_said) {
		o->routed_flags = o->routed ? routed_families(o) : 0;
		if (o->routed && !o->routed_flags)
			return fail(err, EXIT_USAGE,
				    "%smode " MODE_ROUTED " needs %ssubnet or %ssubnet6: the outside has to know it",
				    dashes, dashes, dashes);
		spec->routed = &o->routed_flags;
	}
	if (o->masquerade || o->masquerade6)
		spec->masquerade = &o->masquerade_addrs;
	return 0;
}
