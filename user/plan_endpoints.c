/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs in endpoints. */
#include <string.h>

#include "ipv6.h"
#include "plan_internal.h"

static bool is_in_file(const struct planning *p, const char *network)
{
	for (size_t i = 0; i < p->config->nnetworks; i++)
		if (!strcmp(p->config->networks[i].options.name, network))
			return true;
	return false;
}

static int check_address(struct planning *p, const struct config_endpoint *wanted, const struct nsbpf_addr *addr,
			 struct cidr subnet)
{
	char text[ADDR_TEXT], in[CIDR_TEXT];

	if (addr_is_any(addr) || cidr_has_host(&subnet, addr))
		return 0;
	return config_fail(p->config, wanted->at, p->err, EXIT_USAGE,
			   "endpoints.%s: %s is no host address of network %s (%s)", wanted->options.name,
			   addr_format(addr, text), wanted->options.spec.network, cidr_format(&subnet, in));
}

/* Is it there, or will it be? And are the addresses in it? */
static int require_network(struct planning *p, const struct config_endpoint *wanted)
{
	const struct endpoint_spec *spec = &wanted->options.spec;
	bool in_file = is_in_file(p, spec->network), found;
	struct network network;

	found = p->host->running && network_find(p->host, spec->network, &network) >= 0;
	if (found && (in_file || !p->prune) && !plan_renews(p, OBJECT_NETWORK, spec->network))
		return check_address(p, wanted, &spec->ip.v4, network_subnet4(&network)) ||
				       check_address(p, wanted, &spec->ip.v6, network_subnet6(&network))
			       ? -1
			       : 0;
	if (in_file)
		return 0;
	return config_fail(p->config, wanted->at, p->err, EXIT_MISSING,
			   "endpoints.%s: no network %s, neither in this file nor %s", wanted->options.name,
			   spec->network, p->prune ? "kept" : "on this host");
}

/* What takes another endpoint in its place. */
static int compare_identity(struct planning *p, const struct endpoint *is, const struct endpoint_spec *should,
			    json_t *differs)
{
	const struct addr_pair addrs = endpoint_addresses(is);
	char a[ADDR_TEXT], b[ADDR_TEXT];
	struct network network = { 0 };

	network_get(p->host, is->network, &network);
	if (strcmp(network.name, should->network) && plan_note(p, differs, "network", network.name, should->network))
		return -1;
	if (!addr_is_any(&should->ip.v4) && !addr_equal(&should->ip.v4, &addrs.v4) &&
	    plan_note(p, differs, "ip", addr_format(&addrs.v4, a), addr_format(&should->ip.v4, b)))
		return -1;
	if (!addr_is_any(&should->ip.v6) && !addr_equal(&should->ip.v6, &addrs.v6) &&
	    plan_note(p, differs, "ip", addr_is_any(&addrs.v6) ? "none" : addr_format(&addrs.v6, a),
		      addr_format(&should->ip.v6, b)))
		return -1;
	if (should->mac && memcmp(should->mac, is->mac, sizeof(is->mac)))
		return plan_note(p, differs, "mac", mac_format(is->mac, a), mac_format(should->mac, b));
	return 0;
}

static void dns_text(const json_t *dns, char *text, size_t size)
{
	size_t i, used = 0;
	const json_t *item;

	snprintf(text, size, "%s", json_is_string(dns) ? json_string_value(dns) : "");
	json_array_foreach(dns, i, item)
	{
		if (used < size)
			used += snprintf(text + used, size - used, "%s%s", i ? "," : "", json_string_value(item));
	}
}

static int compare_dns(struct planning *p, const struct endpoint *is, const struct endpoint_options *should,
		       json_t *differs)
{
	char a[RESOLV_MAX_SERVERS * ADDR_TEXT], b[sizeof(a)] = "", addr[ADDR_TEXT];
	const struct resolvers *r = &should->spec.resolvers;
	json_t *dns = should->dns_said ? config_dns_of(is, &p->upstream) : NULL;
	size_t used = 0;

	if (!dns)
		return 0;
	dns_text(dns, a, sizeof(a));
	json_decref(dns);
	if (should->spec.dns != DNS_GIVEN)
		strcpy(b, should->spec.dns == DNS_NONE ? "none" : "host");
	for (unsigned int i = 0; should->spec.dns == DNS_GIVEN && i < r->nservers; i++)
		used += snprintf(b + used, sizeof(b) - used, "%s%s", i ? "," : "", addr_format(&r->servers[i], addr));
	/* The host's may just be those that are asked for. */
	if (!strcmp(a, b) || (should->spec.dns == DNS_GIVEN && resolv_matches(is->name, r)))
		return 0;
	return plan_note(p, differs, "dns", a, b);
}

static int compare_numbers(struct planning *p, const struct endpoint *is, const struct endpoint_spec *should,
			   json_t *differs)
{
	char a[16], b[16];

	if (should->mtu && *should->mtu != is->mtu) {
		snprintf(a, sizeof(a), "%u", is->mtu);
		snprintf(b, sizeof(b), "%u", *should->mtu);
		if (plan_note(p, differs, "mtu", a, b))
			return -1;
	}
	if (!should->max_connections || *should->max_connections == is->max_connections)
		return 0;
	snprintf(a, sizeof(a), "%u", is->max_connections);
	snprintf(b, sizeof(b), "%u", *should->max_connections);
	return plan_note(p, differs, "max-connections", is->max_connections ? a : "auto",
			 *should->max_connections ? b : "auto");
}

/* With an MTU below 1280 the kernel takes IPv6 away: that is another endpoint. */
static bool mtu_changes_families(const struct endpoint *is, const struct endpoint_spec *should)
{
	return should->mtu && (*should->mtu < IPV6_MIN_MTU) != (is->mtu < IPV6_MIN_MTU);
}

/* Made anew, it is as it was in all that the file leaves open. */
static void keep_the_rest(struct planning *p, const struct endpoint *is, struct config_endpoint *wanted)
{
	struct endpoint_options *options = &wanted->options;
	struct endpoint_spec *spec = &options->spec;

	if (!plan_renews(p, OBJECT_NETWORK, spec->network))
		endpoint_inherit(p->host, is, &wanted->inherited, spec);
	if (options->dns_said)
		return;
	if (!(is->flags & ENDPOINT_RESOLV_CONF))
		spec->dns = resolv_is_foreign(is->name) ? DNS_HOST : DNS_NONE;
	else if (!resolv_matches(is->name, &p->upstream) && !resolv_read(is->name, &spec->resolvers) &&
		 spec->resolvers.nservers)
		spec->dns = DNS_GIVEN;
}

static const char *condition_text(enum endpoint_condition condition)
{
	return condition == ENDPOINT_UP ? "up" : condition == ENDPOINT_GONE ? "gone" : "incomplete";
}

/* The change that the differences take, if any. */
static int compare(struct planning *p, const struct endpoint *is, struct config_endpoint *wanted, json_t *differs)
{
	const struct endpoint_spec *should = &wanted->options.spec;
	enum endpoint_condition condition = endpoint_condition(p->host, is);
	struct change *change;
	bool renew;

	if (condition != ENDPOINT_UP && plan_note(p, differs, "state", condition_text(condition), "up"))
		return -1;
	if (compare_identity(p, is, should, differs))
		return -1;
	renew = json_array_size(differs) || mtu_changes_families(is, should) ||
		plan_renews(p, OBJECT_NETWORK, should->network);
	if (compare_numbers(p, is, should, differs) || compare_dns(p, is, &wanted->options, differs))
		return -1;
	if (!renew && !json_array_size(differs))
		return 0;
	change = plan_append(p, renew ? CHANGE_RENEW : CHANGE_SET, OBJECT_ENDPOINT, is->name);
	if (!change)
		return -1;
	change->endpoint = wanted;
	change->differs = json_incref(differs);
	if (renew)
		keep_the_rest(p, is, wanted);
	return 0;
}

static int plan_endpoint(struct planning *p, struct config_endpoint *wanted)
{
	struct endpoint endpoint;
	struct change *change;
	json_t *differs;
	int ret;

	if (require_network(p, wanted))
		return -1;
	if (p->host->running && endpoint_find(p->host, wanted->options.name, &endpoint) >= 0) {
		differs = json_array();
		ret = compare(p, &endpoint, wanted, differs);
		json_decref(differs);
		return ret;
	}
	change = plan_append(p, CHANGE_ADD, OBJECT_ENDPOINT, wanted->options.name);
	if (!change)
		return -1;
	change->endpoint = wanted;
	return 0;
}

/* One that the file does not name. */
static int plan_other(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct network network = { 0 };
	struct planning *p = arg;

	(void)slot;
	for (size_t i = 0; i < p->config->nendpoints; i++)
		if (!strcmp(p->config->endpoints[i].options.name, endpoint->name))
			return 0;
	if (p->prune)
		return plan_append(p, CHANGE_REMOVE, OBJECT_ENDPOINT, endpoint->name) ? 0 : -1;
	network_get(p->host, endpoint->network, &network);
	if (plan_renews(p, OBJECT_NETWORK, network.name))
		return fail(p->err, EXIT_CONFLICT,
			    "network %s would have to be made anew, but endpoint %s is in it, which the file does not "
			    "name",
			    network.name, endpoint->name);
	return 0;
}

int plan_endpoints(struct planning *p)
{
	for (size_t i = 0; i < p->config->nendpoints; i++)
		if (plan_endpoint(p, &p->config->endpoints[i]))
			return -1;
	return p->host->running ? endpoint_each(p->host, plan_other, p) : 0;
}
