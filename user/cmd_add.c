/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf add */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "endpoints.h"
#include "networks.h"
#include "teardown.h"
#include "uplinks.h"

/* "host", "none", or addresses with commas between them. */
static int parse_dns(const char *text, struct endpoint_spec *spec)
{
	char copy[1024], *rest, *word;

	spec->dns = DNS_HOST;
	if (!text || !strcmp(text, "host"))
		return 0;
	spec->dns = DNS_NONE;
	if (!strcmp(text, "none"))
		return 0;
	spec->dns = DNS_GIVEN;
	if (strlen(text) >= sizeof(copy) || !*text)
		return report_usage("--dns %s: addresses, host or none is wanted", text);
	strcpy(copy, text);
	for (rest = copy; (word = strsep(&rest, ","));) {
		struct resolvers *r = &spec->resolvers;

		if (r->nservers == RESOLV_MAX_SERVERS)
			return report_usage("--dns takes %d addresses at most", RESOLV_MAX_SERVERS);
		if (addr_parse(word, &r->servers[r->nservers++]))
			return report_usage("--dns %s: '%s' is not an address", text, word);
	}
	return 0;
}

static void format_dns(const struct endpoint_spec *spec, const struct endpoint *endpoint, char *text, size_t size)
{
	char addr[ADDR_TEXT];
	size_t used = 0;

	if (spec->dns == DNS_NONE)
		snprintf(text, size, "none");
	else if (!(endpoint->flags & ENDPOINT_RESOLV_CONF))
		snprintf(text, size, "as in /etc/netns/%s/resolv.conf", endpoint->name);
	else if (!spec->resolvers.nservers)
		snprintf(text, size, "none known");
	for (unsigned int i = 0; endpoint->flags & ENDPOINT_RESOLV_CONF && i < spec->resolvers.nservers; i++)
		used += snprintf(text + used, size - used, "%s%s", i ? "," : "",
				 addr_format(&spec->resolvers.servers[i], addr));
}

static void print_result(const struct host *host, const struct endpoint_spec *spec, const struct endpoint *endpoint)
{
	char addr[ADDR_TEXT], gateway[ADDR_TEXT], mac[MAC_TEXT], dns[RESOLV_MAX_SERVERS * ADDR_TEXT + 128],
		limit[40] = "", ipv6[2 * ADDR_TEXT + 16] = "";
	struct addr_pair addrs = endpoint_addresses(endpoint);
	struct network network = { 0 };
	struct nsbpf_addr gateway4;

	network_get(host, endpoint->network, &network);
	if (!addr_is_any(&addrs.v6))
		snprintf(ipv6, sizeof(ipv6), ", %s/%u via %s", addr_format(&addrs.v6, addr), network.prefix6,
			 addr_format(&network.gateway6, gateway));
	gateway4 = addr_from4(network.gateway4);
	format_dns(spec, endpoint, dns, sizeof(dns));
	if (endpoint->max_connections)
		snprintf(limit, sizeof(limit), ", max-connections %u", endpoint->max_connections);
	printf("%s: %s/%u via %s%s, network %s, mac %s, mtu %u, dns %s%s\n", endpoint->name,
	       addr_format(&addrs.v4, addr), network.prefix4, addr_format(&gateway4, gateway), ipv6, network.name,
	       mac_format(endpoint->mac, mac), endpoint->mtu, dns, limit);
}

/* What the new endpoint lacks: text, or NULL. For people the line on stderr says that it has no IPv6. */
static const char *warning_of(const struct host *host, const struct endpoint_spec *spec, char *text, size_t size)
{
	size_t used = 0;

	if (spec->without_ipv6 && json_output)
		used = snprintf(text, size, "%s has no IPv6: %s", spec->name, spec->without_ipv6);
	if (!uplinks_exist(host))
		used += snprintf(text + used, size - used,
				 "%s%s: no uplink, so no way outside: there is no default route "
				 "(`nsbpf uplink add DEV` names one)",
				 used ? "; " : "", spec->name);
	return used ? text : NULL;
}

static int run(struct endpoint_spec *spec)
{
	const char *warning = NULL;
	struct endpoint endpoint;
	struct error err;
	struct host host;
	char text[512];
	int ret;

	ret = host_change(&host, &err) || host_start(&host, &err) ? -1 : endpoint_add(&host, spec, &endpoint, &err);
	if (ret > 0) {
		warning = warning_of(&host, spec, text, sizeof(text));
		if (!json_output)
			print_result(&host, spec, &endpoint);
		if (spec->without_ipv6)
			report_aside("%s has no IPv6: %s", spec->name, spec->without_ipv6);
	}
	host_finish(&host, ret < 0);
	if (ret < 0)
		return report(&err);
	return report_change(ret, warning);
}

int cmd_add(int argc, char **argv)
{
	const char *ip = NULL, *network = NULL, *mac = NULL, *mtu = NULL, *dns = NULL, *max = NULL;
	const struct option_spec options[] = {
		{ .name = "ip", .value = &ip },
		{ .name = "network", .value = &network },
		{ .name = "mac", .value = &mac },
		{ .name = "mtu", .value = &mtu },
		{ .name = "dns", .value = &dns },
		{ .name = "max-connections", .value = &max },
		{ .name = NULL },
	};
	struct endpoint_spec spec = { 0 };
	unsigned char mac_bytes[6];
	unsigned long number;
	unsigned int mtu_number, max_number;

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("add takes one name (`nsbpf help add`)");
	if (name_check(argv[1]))
		return report_usage("'%s' is no name: 1 to %d of A-Z a-z 0-9 _ . -, not beginning with -", argv[1],
				    NSBPF_NAME_MAX);
	if (network && name_check(network))
		return report_usage("--network '%s' is no name", network);
	spec.name = argv[1];
	spec.network = network;
	if (ip) {
		if (addr_pair_parse(ip, &spec.ip))
			return report_usage("--ip %s: an address, or one of each family with a comma, is wanted", ip);
		spec.ip6_wanted = !addr_is_any(&spec.ip.v6);
	}
	if (mac) {
		if (mac_parse(mac, mac_bytes))
			return report_usage("--mac %s: not a unicast MAC address", mac);
		spec.mac = mac_bytes;
	}
	if (mtu) {
		if (number_parse(mtu, 576, 65535, &number))
			return report_usage("--mtu %s: a number from 576 to 65535 is wanted", mtu);
		mtu_number = number;
		spec.mtu = &mtu_number;
	}
	if (max) {
		number = 0;
		if (strcmp(max, "auto") && number_parse(max, 0, NSBPF_MAX_CONNECTIONS, &number))
			return report_usage("--max-connections %s: auto or a number up to %d is wanted", max,
					    NSBPF_MAX_CONNECTIONS);
		max_number = number;
		spec.max_connections = &max_number;
	}
	if (parse_dns(dns, &spec))
		return EXIT_USAGE;
	return run(&spec);
}
