/* SPDX-License-Identifier: GPL-2.0-only */
/* What is around the datapath, and decides as well: devices, namespaces, neighbours, sockets, the host's firewall. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/neighbour.h>
#include <linux/netfilter.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "cleanup.h"
#include "datapath.h"
#include "explain_internal.h"
#include "netns.h"

/* If there are too many for anybody to read, the last one is left out for the next. */
void obstacle(struct tracing *t, const char *fmt, ...)
{
	struct explanation *e = t->e;
	va_list args;

	if (e->obstacle_count == sizeof(e->obstacles) / sizeof(e->obstacles[0]))
		e->obstacle_count--;
	e->obstacles[e->obstacle_count].remedy[0] = '\0';
	va_start(args, fmt);
	vsnprintf(e->obstacles[e->obstacle_count++].text, sizeof(e->obstacles[0].text), fmt, args);
	va_end(args);
}

void remedy(struct tracing *t, const char *fmt, ...)
{
	struct obstacle *last = &t->e->obstacles[t->e->obstacle_count - 1];
	va_list args;

	va_start(args, fmt);
	vsnprintf(last->remedy, sizeof(last->remedy), fmt, args);
	va_end(args);
}

/* What `check` finds in one endpoint. */
void look_at_endpoint(struct tracing *t, unsigned int slot)
{
	struct check check = { .host = t->host };
	char object[CHECK_TEXT];
	struct error err;

	snprintf(object, sizeof(object), "endpoint %s", endpoint_name(t->host, slot));
	if (check_endpoints(&check, &err)) {
		obstacle(t, "%s", err.text);
		check_free(&check);
		return;
	}
	for (size_t i = 0; i < check.count; i++) {
		const struct finding *finding = &check.findings[i];

		if (strcmp(finding->object, object))
			continue;
		obstacle(t, "%s: %s should be %s, is %s", finding->object, finding->what, finding->should, finding->is);
		if (finding->why_not[0])
			remedy(t, "%s", finding->why_not);
		else
			remedy(t, "`nsbpf check --repair`");
	}
	check_free(&check);
}

void look_at_uplink(struct tracing *t, unsigned int ifindex)
{
	struct link link;

	if (link_get_index(t->host->nl, ifindex, &link)) {
		obstacle(t, "uplink %u is gone", ifindex);
		remedy(t, "`nsbpf check --repair`");
		return;
	}
	if (!(link.flags & IFF_UP)) {
		obstacle(t, "uplink %s is down", link.name);
		remedy(t, "`ip link set %s up`", link.name);
	} else if (!(link.flags & IFF_RUNNING)) {
		obstacle(t, "uplink %s has no carrier", link.name);
		remedy(t, "look at the cable, or at the other end of %s", link.name);
	}
	if (!datapath_is_attached(t->host, ifindex, HOOK_FROM_UPLINK)) {
		obstacle(t, "program from_uplink is not attached to %s: what comes in there is not translated back",
			 link.name);
		remedy(t, "`nsbpf check --repair`");
	}
}

static int match_failed(const struct neigh *neigh, void *arg)
{
	return neigh->state & NUD_FAILED && addr_equal(&neigh->addr, arg);
}

void look_at_neighbour(struct tracing *t, unsigned int ifindex, const struct nsbpf_addr *addr)
{
	struct nsbpf_addr wanted = *addr;
	char text[ADDR_TEXT], device[IFNAMSIZ];

	if (neigh_each(t->host->nl, ifindex, match_failed, &wanted) != 1)
		return;
	obstacle(t, "%s does not answer on %s", addr_format(addr, text), device_name(t->host, ifindex, device));
	remedy(t, "`ip neighbour show dev %s`, and look at that machine", device);
}

struct listening {
	const struct tuple *tuple;
	bool elsewhere; /* somebody has the port, but on another address */
};

static int match_socket(const struct host_socket *socket, void *arg)
{
	struct listening *l = arg;
	const struct nsbpf_addr *addr = &l->tuple->daddr;
	bool any4 = addr_is4(&socket->addr) && !addr_to4(&socket->addr);

	if (socket->port != ntohs(l->tuple->dport))
		return 0;
	if (addr_equal(&socket->addr, addr) || (any4 && addr_is4(addr)) ||
	    (addr_is_any(&socket->addr) && !(socket->v6only && addr_is4(addr))))
		return 1;
	l->elsewhere = true;
	return 0;
}

/* -errno, or whether there is one. */
static int find_socket(struct tracing *t, unsigned int slot, struct listening *l)
{
	_cleanup_close_ int ns_fd = -1;

	if (!slot)
		return host_socket_each(l->tuple->proto, match_socket, l);
	ns_fd = netns_open(endpoint_name(t->host, slot));
	return ns_fd < 0 ? ns_fd : socket_each_at(ns_fd, l->tuple->proto, match_socket, l);
}

static int find_filter(const struct base_chain *chain, void *arg)
{
	*(struct base_chain *)arg = *chain;
	return chain->hook == NF_INET_LOCAL_IN && (chain->rules || chain->drops) && chain->family != NFPROTO_BRIDGE &&
	       chain->family != NFPROTO_ARP && chain->family != NFPROTO_NETDEV;
}

/* Its rules are not followed: that it is there is worth knowing. */
static void look_at_firewall(struct tracing *t)
{
	struct base_chain chain = { 0 };

	if (base_chain_each(find_filter, &chain) != 1)
		return;
	obstacle(t, "the host's firewall has a say: chain %s of nft table %s, %u rules, policy %s", chain.name,
		 chain.table, chain.rules, chain.drops ? "drop" : "accept");
	remedy(t, "`nft list ruleset` shows it, `nsbpf doctor` has more");
}

void look_at_listeners(struct tracing *t, unsigned int slot, const struct tuple *tuple)
{
	const char *where = slot ? endpoint_name(t->host, slot) : "the host";
	const char *proto = tuple->proto == IPPROTO_TCP ? "tcp" : "udp";
	struct listening l = { .tuple = tuple };
	int found;

	if (!slot)
		look_at_firewall(t);
	if (tuple->proto != IPPROTO_TCP && tuple->proto != IPPROTO_UDP)
		return;
	found = find_socket(t, slot, &l);
	if (found)
		return; /* somebody does; or nobody can tell, as the namespace is gone: `check` has said so */
	if (l.elsewhere)
		obstacle(t, "on %s %s port %u is open on another address only", where, proto, ntohs(tuple->dport));
	else
		obstacle(t, "nobody on %s listens on %s port %u", where, proto, ntohs(tuple->dport));
	if (slot)
		remedy(t, "start it there; `nsbpf exec %s -- ss -ln%c` shows what listens", where, *proto);
	else
		remedy(t, "start it; `ss -ln%c` shows what listens", *proto);
}
