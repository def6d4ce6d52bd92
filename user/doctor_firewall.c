/* SPDX-License-Identifier: GPL-2.0-only */
/* Others who do something with packets: nf_tables, iptables, bridges. They are looked at only. */
#include "doctor.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

struct looking {
	struct doctor *doctor;
	unsigned int chains; /* that are not about the host's own packets */
	char names[128];     /* of bridges */
};

static const char *family_name(unsigned char family)
{
	switch (family) {
	case NFPROTO_IPV4:
		return "ip";
	case NFPROTO_IPV6:
		return "ip6";
	default:
		return "inet";
	}
}

/* What goes between an endpoint and the host itself is the host's as any other packet; all else nsbpf forwards past it.
 */
static int look_at_chain(const struct base_chain *chain, void *arg)
{
	bool in = chain->hook == NF_INET_LOCAL_IN, out = chain->hook == NF_INET_LOCAL_OUT;
	const char *family = family_name(chain->family);
	struct looking *l = arg;

	if (chain->family != NFPROTO_IPV4 && chain->family != NFPROTO_IPV6 && chain->family != NFPROTO_INET)
		return 0;
	if ((!in && !out) || (!chain->rules && !chain->drops)) {
		l->chains++;
		return 0;
	}
	doctor_say(l->doctor, chain->drops ? LEVEL_WARNING : LEVEL_NOTE, "firewall",
		   "chain %s of nft table %s %s: %u rule%s, policy %s", chain->name, family, chain->table, chain->rules,
		   chain->rules == 1 ? "" : "s", chain->drops ? "drop" : "accept");
	doctor_why(l->doctor, in ? "packets of endpoints to the host itself come to it (but to nobody else)"
				 : "the host's own packets to endpoints come to it");
	if (chain->drops)
		doctor_fix(l->doctor, "nft insert rule %s %s %s %s 'nsb*' accept", family, chain->table, chain->name,
			   in ? "iifname" : "oifname");
	return 0;
}

/* The old iptables has no list of rules without a lock and a copy of all of them: so much for looking. */
static bool look_at_legacy(struct doctor *d, const char *path, const char *command)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	char table[64];

	while (f && fgets(table, sizeof(table), f)) {
		if (strcmp(table, "filter\n"))
			continue;
		doctor_say(d, LEVEL_NOTE, "firewall", "there is a filter table of the old %s", command);
		doctor_why(d, "packets of endpoints to the host itself come to its INPUT chain, the host's to OUTPUT");
		doctor_fix(d, "%s-legacy -S", command);
		return true;
	}
	return false;
}

static int look_at_bridge(const struct link *link, void *arg)
{
	struct looking *l = arg;
	size_t length = strlen(l->names);

	if (!strcmp(link->kind, "bridge"))
		snprintf(l->names + length, sizeof(l->names) - length, "%s%s", length ? ", " : "", link->name);
	return 0;
}

void doctor_firewall(struct doctor *d)
{
	struct looking l = { .doctor = d };
	size_t before = d->count;
	int ret = base_chain_each(look_at_chain, &l);
	bool legacy = look_at_legacy(d, "/proc/net/ip_tables_names", "iptables");

	legacy = look_at_legacy(d, "/proc/net/ip6_tables_names", "ip6tables") || legacy;
	if (ret == -EPERM)
		doctor_say(d, LEVEL_NOTE, "firewall", "only root can look at nf_tables");
	else if (l.chains)
		doctor_say(d, LEVEL_OK, "firewall", "%u other chain%s, to which no packet of an endpoint comes",
			   l.chains, l.chains == 1 ? "" : "s");
	else if (d->count == before)
		doctor_say(d, LEVEL_OK, "firewall", "no chain that packets of endpoints come to");
	if (!link_each(d->host.nl, look_at_bridge, &l) && l.names[0])
		doctor_say(d, LEVEL_OK, "bridges", "%s: of others, nsbpf's packets do not go by them", l.names);
}
