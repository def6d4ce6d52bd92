/* SPDX-License-Identifier: GPL-2.0-only */
/* What a file says that cannot all be. */
#include <string.h>

#include "cleanup.h"
#include "config.h"

static int check_room(const struct config *config, struct error *err)
{
	if (config->nendpoints >= NSBPF_MAX_ENDPOINTS)
		return config_fail(config, config->endpoints[NSBPF_MAX_ENDPOINTS - 1].at, err, EXIT_USAGE,
				   "endpoints: there is room for %d only", NSBPF_MAX_ENDPOINTS - 1);
	if (config->nnetworks >= NSBPF_MAX_NETWORKS)
		return config_fail(config, config->networks[NSBPF_MAX_NETWORKS - 1].at, err, EXIT_USAGE,
				   "networks: there is room for %d only", NSBPF_MAX_NETWORKS - 1);
	return 0;
}

static bool subnets_overlap(const struct cidr *a, const struct cidr *b)
{
	return a && b && cidr_overlaps(a, b);
}

static int check_networks(const struct config *config, struct error *err)
{
	for (size_t i = 1; i < config->nnetworks; i++) {
		const struct network_spec *a = &config->networks[i].options.spec;

		for (size_t k = 0; k < i; k++) {
			const struct network_spec *b = &config->networks[k].options.spec;

			if (subnets_overlap(a->subnet4, b->subnet4) || subnets_overlap(a->subnet6, b->subnet6))
				return config_fail(config, config->networks[i].at, err, EXIT_CONFLICT,
						   "networks.%s: its subnet overlaps that of network %s", a->name,
						   b->name);
		}
	}
	return 0;
}

static const struct network_spec *network_of(const struct config *config, const struct endpoint_spec *spec)
{
	for (size_t i = 0; i < config->nnetworks; i++)
		if (!strcmp(config->networks[i].options.name, spec->network))
			return &config->networks[i].options.spec;
	return NULL;
}

static int check_address(const struct config *config, const struct config_endpoint *endpoint,
			 const struct nsbpf_addr *addr, const struct cidr *subnet, const struct nsbpf_addr *gateway,
			 struct error *err)
{
	char text[ADDR_TEXT], in[CIDR_TEXT];

	if (addr_is_any(addr))
		return 0;
	addr_format(addr, text);
	if (subnet && !cidr_has_host(subnet, addr))
		return config_fail(config, endpoint->at, err, EXIT_USAGE,
				   "endpoints.%s: %s is no host address of its network (%s)", endpoint->options.name,
				   text, cidr_format(subnet, in));
	if (addr_equal(addr, gateway))
		return config_fail(config, endpoint->at, err, EXIT_CONFLICT,
				   "endpoints.%s: %s is the gateway of its network", endpoint->options.name, text);
	return 0;
}

static bool is_same(const struct nsbpf_addr *a, const struct nsbpf_addr *b)
{
	return !addr_is_any(a) && addr_equal(a, b);
}

static int check_endpoints(const struct config *config, struct error *err)
{
	static const struct network_spec nothing_known;

	for (size_t i = 0; i < config->nendpoints; i++) {
		const struct config_endpoint *endpoint = &config->endpoints[i];
		const struct endpoint_spec *a = &endpoint->options.spec;
		const struct network_spec *network = network_of(config, a);

		if (!network)
			network = &nothing_known;
		if (check_address(config, endpoint, &a->ip.v4, network->subnet4, &network->gateway.v4, err) ||
		    check_address(config, endpoint, &a->ip.v6, network->subnet6, &network->gateway.v6, err))
			return -1;
		for (size_t k = 0; k < i; k++) {
			const struct endpoint_spec *b = &config->endpoints[k].options.spec;

			if (is_same(&a->ip.v4, &b->ip.v4) || is_same(&a->ip.v6, &b->ip.v6))
				return config_fail(config, endpoint->at, err, EXIT_CONFLICT,
						   "endpoints.%s: its address is endpoint %s's, too", a->name, b->name);
		}
	}
	return 0;
}

static int compare_ports(const void *a, const void *b)
{
	return exposure_compare(&(*(const struct config_port *const *)a)->exposure,
				&(*(const struct config_port *const *)b)->exposure);
}

static int check_ports(const struct config *config, struct error *err)
{
	_cleanup_free_ const struct config_port **sorted = calloc(config->nports + 1, sizeof(*sorted));
	char text[EXPOSURE_TEXT], other[EXPOSURE_TEXT];

	if (!sorted)
		return fail(err, EXIT_SYSTEM, "out of memory");
	for (size_t i = 0; i < config->nports; i++)
		sorted[i] = &config->ports[i];
	qsort(sorted, config->nports, sizeof(*sorted), compare_ports);
	for (size_t i = 1; i < config->nports; i++) {
		const struct exposure *a = &sorted[i - 1]->exposure, *b = &sorted[i]->exposure;

		if (!exposure_overlaps(a, b))
			continue;
		return config_fail(config, sorted[i]->at, err, EXIT_CONFLICT,
				   "endpoints.%s: ports %s overlap %s of endpoint %s", b->endpoint,
				   exposure_format(b, text), exposure_format(a, other), a->endpoint);
	}
	return 0;
}

int config_check(const struct config *config, struct error *err)
{
	return check_room(config, err) || check_networks(config, err) || check_endpoints(config, err) ||
			       check_ports(config, err)
		       ? -1
		       : 0;
}
