/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf add */
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "command.h"
#include "endpoint_options.h"
#include "networks.h"
#include "teardown.h"
#include "uplinks.h"

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

static const char *const keys[] = { "ip", "network", "mac", "mtu", "dns", "max-connections" };
#define KEYS (sizeof(keys) / sizeof(keys[0]))

int cmd_add(int argc, char **argv)
{
	struct option_spec specs[KEYS + 1] = { 0 };
	struct endpoint_options options = { 0 };
	const char *values[KEYS] = { 0 };
	struct error err;

	for (size_t i = 0; i < KEYS; i++)
		specs[i] = (struct option_spec){ .name = keys[i], .value = &values[i] };
	if (parse_options(&argc, argv, specs))
		return EXIT_USAGE;
	if (argc != 2)
		return report_usage("add takes one name (`nsbpf help add`)");
	if (endpoint_options_name(&options, argv[1], &err))
		return report(&err);
	for (size_t i = 0; i < KEYS; i++)
		if (values[i] && endpoint_options_take(&options, keys[i], values[i], &err))
			return report_option(&err);
	return run(&options.spec);
}
