/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf network */
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "listing.h"
#include "networks.h"
#include "teardown.h"

struct network_words {
	const char *subnet4, *subnet6, *gateway, *mode, *mtu, *isolate, *filtering, *masquerade;
	struct cidr subnet4_cidr, subnet6_cidr;
	struct addr_pair masquerade_addrs;
	unsigned int mtu_number;
	bool isolate_on, full_cone, routed;
};

/* What only `add` takes. */
static int parse_addresses(struct network_words *w, struct network_spec *spec)
{
	if (w->subnet4) {
		if (cidr_parse(w->subnet4, &w->subnet4_cidr) || !strchr(w->subnet4, '/'))
			return report_usage("--subnet %s: not a prefix such as 10.1.0.0/16", w->subnet4);
		spec->subnet4 = &w->subnet4_cidr;
	}
	if (w->subnet6) {
		if (cidr_parse(w->subnet6, &w->subnet6_cidr) || !strchr(w->subnet6, '/'))
			return report_usage("--subnet6 %s: not a prefix such as fd00:1:2:3::/64", w->subnet6);
		spec->subnet6 = &w->subnet6_cidr;
	}
	if (w->gateway) {
		if (addr_pair_parse(w->gateway, &spec->gateway))
			return report_usage("--gateway %s: an address, or one of each family with a comma, is wanted",
					    w->gateway);
		if (!addr_is_any(&spec->gateway.v4) && !w->subnet4)
			return report_usage("--gateway needs --subnet");
		if (!addr_is_any(&spec->gateway.v6) && !w->subnet6)
			return report_usage("--gateway needs --subnet6");
	}
	return 0;
}

static int parse_mode(struct network_words *w, struct network_spec *spec)
{
	if (w->mode) {
		w->routed = !strcmp(w->mode, MODE_ROUTED);
		if (!w->routed && strcmp(w->mode, MODE_NAT))
			return report_usage("--mode %s: " MODE_NAT " or " MODE_ROUTED " is wanted", w->mode);
		spec->routed = &w->routed;
	}
	if (w->masquerade && !strcmp(w->masquerade, "off")) {
		if (!w->routed)
			return report_usage("--masquerade off needs --mode " MODE_ROUTED
					    ": the outside has to know the way back");
		spec->masquerade_off = true;
	} else if (w->masquerade) {
		/* All zero is as the route has it. */
		if (strcmp(w->masquerade, "on") &&
		    (addr_pair_parse(w->masquerade, &w->masquerade_addrs) ||
		     addr_is_loopback(&w->masquerade_addrs.v4) || addr_is_loopback(&w->masquerade_addrs.v6) ||
		     addr_is_link_local(&w->masquerade_addrs.v6)))
			return report_usage("--masquerade %s: on, off, or addresses of the host are wanted",
					    w->masquerade);
		spec->masquerade = &w->masquerade_addrs;
	}
	if (w->routed && !w->subnet4 && !w->subnet6 && !spec->masquerade_off)
		return report_usage("--mode " MODE_ROUTED " needs --subnet or --subnet6: the outside has to know it");
	return 0;
}

static int parse_values(struct network_words *w, struct network_spec *spec)
{
	unsigned long number = 0;

	if (w->mtu) {
		if (strcmp(w->mtu, "auto") && number_parse(w->mtu, 576, 65535, &number))
			return report_usage("--mtu %s: auto or a number from 576 to 65535 is wanted", w->mtu);
		w->mtu_number = number;
		spec->mtu = &w->mtu_number;
	}
	if (w->isolate) {
		w->isolate_on = !strcmp(w->isolate, "on");
		if (!w->isolate_on && strcmp(w->isolate, "off"))
			return report_usage("--isolate %s: on or off is wanted", w->isolate);
		spec->isolate = &w->isolate_on;
	}
	if (w->filtering) {
		w->full_cone = !strcmp(w->filtering, FILTERING_FULL_CONE);
		if (!w->full_cone && strcmp(w->filtering, FILTERING_DEFAULT))
			return report_usage("--filtering %s: " FILTERING_FULL_CONE " or " FILTERING_DEFAULT
					    " is wanted",
					    w->filtering);
		spec->full_cone = &w->full_cone;
	}
	return 0;
}

static int change(const char *verb, const struct network_spec *spec)
{
	struct error err;
	struct host host;
	int ret = host_change(&host, &err);

	if (!ret && !strcmp(verb, "set") && !host.running)
		ret = fail(&err, EXIT_MISSING, "no network %s", spec->name);
	else if (!ret && !strcmp(verb, "set"))
		ret = host_start(&host, &err) ? -1 : network_set(&host, spec, &err);
	else if (!ret && !strcmp(verb, "add"))
		ret = host_start(&host, &err) ? -1 : network_add(&host, spec, &err);
	else if (!ret)
		ret = host.running ? network_delete(&host, spec->name, &err) : 0;
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_done(ret);
}

static int change_network(int argc, char **argv)
{
	struct network_words w = { 0 };
	struct network_spec spec = { 0 };
	const char *verb = argv[0];
	const struct option_spec add_options[] = {
		{ .name = "subnet", .value = &w.subnet4 },
		{ .name = "subnet6", .value = &w.subnet6 },
		{ .name = "gateway", .value = &w.gateway },
		{ .name = "mode", .value = &w.mode },
		{ .name = "mtu", .value = &w.mtu },
		{ .name = "isolate", .value = &w.isolate },
		{ .name = "filtering", .value = &w.filtering },
		{ .name = "masquerade", .value = &w.masquerade },
		{ .name = NULL },
	};
	const struct option_spec *options = add_options;

	if (!strcmp(verb, "set"))
		options = add_options + 4;
	else if (!strcmp(verb, "del"))
		options = NULL;
	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("network %s takes one name (`nsbpf help network`)", verb);
	if (name_check(argv[1]))
		return report_usage("'%s' is no name: 1 to %d of A-Z a-z 0-9 _ . -, not beginning with -", argv[1],
				    NSBPF_NAME_MAX);
	if (parse_addresses(&w, &spec) || parse_mode(&w, &spec) || parse_values(&w, &spec))
		return EXIT_USAGE;
	spec.name = argv[1];
	return change(verb, &spec);
}

int cmd_network(int argc, char **argv)
{
	if (argc > 1 && !strcmp(argv[1], "list"))
		return run_listing(argc - 1, argv + 1, &networks_listing);
	if (argc > 1 && (!strcmp(argv[1], "add") || !strcmp(argv[1], "set") || !strcmp(argv[1], "del")))
		return change_network(argc - 1, argv + 1);
	return report_usage("network: list, add, set or del is wanted (`nsbpf help network`)");
}
