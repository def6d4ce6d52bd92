/* SPDX-License-Identifier: GPL-2.0-only */
/* What differs in networks. */
#include <string.h>

#include "plan_internal.h"

#define ROUTED (NETWORK_ROUTED4 | NETWORK_ROUTED6)

/* What is in its way is a network of its own: endpoints' addresses, routes and packets under way depend on it. */
static int compare_subnets(struct planning *p, const struct network *is, const struct network_spec *should,
			   json_t *differs)
{
	const struct cidr subnets[] = { network_subnet4(is), network_subnet6(is) };
	const struct cidr *wanted[] = { should->subnet4, should->subnet6 };
	const struct nsbpf_addr gateways[] = { addr_from4(is->gateway4), is->gateway6 };
	const struct nsbpf_addr wanted_gateways[] = { should->gateway.v4, should->gateway.v6 };
	const char *const keys[] = { "subnet", "subnet6" };
	char a[CIDR_TEXT], b[CIDR_TEXT];

	for (int i = 0; i < 2; i++) {
		if (wanted[i] &&
		    (!addr_equal(&wanted[i]->addr, &subnets[i].addr) || wanted[i]->prefix != subnets[i].prefix) &&
		    plan_note(p, differs, keys[i], cidr_format(&subnets[i], a), cidr_format(wanted[i], b)))
			return -1;
		if (!addr_is_any(&wanted_gateways[i]) && !addr_equal(&wanted_gateways[i], &gateways[i]) &&
		    plan_note(p, differs, "gateway", addr_format(&gateways[i], a), addr_format(&wanted_gateways[i], b)))
			return -1;
	}
	return 0;
}

static const char *routed_text(__u8 flags)
{
	static const char *const texts[] = { MODE_NAT, "routed IPv4", "routed IPv6", MODE_ROUTED };

	return texts[(flags & NETWORK_ROUTED4 ? 1 : 0) + (flags & NETWORK_ROUTED6 ? 2 : 0)];
}

static int compare_mode(struct planning *p, const struct network *is, const struct network_spec *should,
			json_t *differs)
{
	if (!should->routed || *should->routed == (is->flags & ROUTED))
		return 0;
	return plan_note(p, differs, "mode", routed_text(is->flags), routed_text(*should->routed));
}

static const char *masquerade_text(const struct nsbpf_addr *addr, char text[ADDR_TEXT])
{
	return addr_is_any(addr) ? "on" : addr_format(addr, text);
}

static int compare_masquerade(struct planning *p, const struct network *is, const struct network_spec *should,
			      json_t *differs)
{
	char a[ADDR_TEXT], b[ADDR_TEXT];

	if (!should->masquerade)
		return 0;
	if (!addr_equal(&is->masquerade4, &should->masquerade->v4) &&
	    plan_note(p, differs, "masquerade", masquerade_text(&is->masquerade4, a),
		      masquerade_text(&should->masquerade->v4, b)))
		return -1;
	if (!addr_equal(&is->masquerade6, &should->masquerade->v6))
		return plan_note(p, differs, "masquerade6", masquerade_text(&is->masquerade6, a),
				 masquerade_text(&should->masquerade->v6, b));
	return 0;
}

static int compare_options(struct planning *p, const struct network *is, const struct network_spec *should,
			   json_t *differs)
{
	bool isolated = !(is->flags & NETWORK_OPEN), full_cone = is->flags & NETWORK_FULL_CONE;
	char a[16], b[16];

	if (should->mtu && *should->mtu != is->mtu) {
		snprintf(a, sizeof(a), "%u", is->mtu);
		snprintf(b, sizeof(b), "%u", *should->mtu);
		if (plan_note(p, differs, "mtu", is->mtu ? a : "auto", *should->mtu ? b : "auto"))
			return -1;
	}
	if (should->isolate && *should->isolate != isolated &&
	    plan_note(p, differs, "isolate", isolated ? "on" : "off", isolated ? "off" : "on"))
		return -1;
	if (should->full_cone && *should->full_cone != full_cone)
		return plan_note(p, differs, "filtering", full_cone ? FILTERING_FULL_CONE : FILTERING_DEFAULT,
				 full_cone ? FILTERING_DEFAULT : FILTERING_FULL_CONE);
	return compare_masquerade(p, is, should, differs);
}

static int plan_network(struct planning *p, struct config_network *wanted)
{
	json_t *differs = json_array();
	struct network network;
	struct change *change;
	bool renew;

	if (!p->host->running || network_find(p->host, wanted->options.name, &network) < 0 ||
	    network.state != SLOT_READY) {
		json_decref(differs);
		change = plan_append(p, CHANGE_ADD, OBJECT_NETWORK, wanted->options.name);
		if (change)
			change->network = wanted;
		return change ? 0 : -1;
	}
	if (compare_subnets(p, &network, &wanted->options.spec, differs) ||
	    compare_mode(p, &network, &wanted->options.spec, differs))
		goto undo;
	renew = json_array_size(differs);
	if (compare_options(p, &network, &wanted->options.spec, differs))
		goto undo;
	if (!json_array_size(differs)) {
		json_decref(differs);
		return 0;
	}
	change = plan_append(p, renew ? CHANGE_RENEW : CHANGE_SET, OBJECT_NETWORK, wanted->options.name);
	if (!change)
		goto undo;
	change->network = wanted;
	change->differs = differs;
	return 0;
undo:
	json_decref(differs);
	return -1;
}

static int plan_removal(unsigned int slot, const struct network *network, void *arg)
{
	struct planning *p = arg;

	(void)slot;
	for (size_t i = 0; i < p->config->nnetworks; i++)
		if (!strcmp(p->config->networks[i].options.name, network->name))
			return 0;
	return plan_append(p, CHANGE_REMOVE, OBJECT_NETWORK, network->name) ? 0 : -1;
}

int plan_networks(struct planning *p)
{
	for (size_t i = 0; i < p->config->nnetworks; i++)
		if (plan_network(p, &p->config->networks[i]))
			return -1;
	return p->prune && p->host->running ? network_each(p->host, plan_removal, p) : 0;
}
