/* SPDX-License-Identifier: GPL-2.0-only */
/* Exposing ports, and ending what came through a mapping that goes. */
#include "mappings.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "connections.h"
#include "endpoints.h"
#include "host_addresses.h"
#include "host_flows.h"
#include "host_ports.h"
#include "mapping_table.h"

const char *mapping_format(const struct mapping *m, char text[MAPPING_TEXT])
{
	char addr[ADDR_TEXT + 3] = "", plain[ADDR_TEXT], last[8] = "";

	if (!addr_is_any(&m->addr))
		snprintf(addr, sizeof(addr), addr_is4(&m->addr) ? "%s:" : "[%s]:", addr_format(&m->addr, plain));
	if (m->last != m->first)
		snprintf(last, sizeof(last), "-%u", m->last);
	snprintf(text, MAPPING_TEXT, "%s/%s%u%s", m->proto == IPPROTO_TCP ? "tcp" : "udp", addr, m->first, last);
	return text;
}

static bool same_ports(const struct mapping *a, const struct mapping *b)
{
	return a->proto == b->proto && addr_equal(&a->addr, &b->addr) && a->first == b->first && a->last == b->last &&
	       a->target == b->target && a->endpoint == b->endpoint;
}

static bool same(const struct mapping *a, const struct mapping *b)
{
	return same_ports(a, b) && a->nsources == b->nsources &&
	       !memcmp(a->sources, b->sources, a->nsources * sizeof(a->sources[0]));
}

static bool overlap(const struct mapping *a, const struct mapping *b)
{
	return a->proto == b->proto && addr_equal(&a->addr, &b->addr) && a->first <= b->last && b->first <= a->last;
}

/* Did this connection come in by the mapping? Another one with its tuple may have taken its place since. */
static bool came_through(const struct conn *conn, const void *arg)
{
	const struct tuple *tuple = &conn->tuples[DIR_ORIGINAL];
	const struct mapping *m = arg;
	__u16 port = ntohs(tuple->dport);

	return conn->flags & CONN_DNAT && tuple->proto == m->proto && port >= m->first && port <= m->last &&
	       (addr_is_any(&m->addr) || addr_equal(&m->addr, &tuple->daddr)) &&
	       conn->targets[DIR_ORIGINAL] == m->endpoint;
}

/* A more exact mapping takes over from one for any address: what came through that is not its own. */
static bool belongs_elsewhere(const struct conn *conn, const void *arg)
{
	const struct tuple *tuple = &conn->tuples[DIR_ORIGINAL];
	const struct mapping *m = arg;
	__u16 port = ntohs(tuple->dport);

	return conn->flags & CONN_DNAT && tuple->proto == m->proto && port >= m->first && port <= m->last &&
	       addr_equal(&m->addr, &tuple->daddr) && conn->targets[DIR_ORIGINAL] != m->endpoint;
}

static int end_connections(struct host *host, connection_fn *which, const struct mapping *m, struct error *err)
{
	int ret = connections_end(host, which, m);

	if (ret >= 0 && which == came_through)
		ret = host_flows_end(host, m);
	return ret < 0 ? fail(err, EXIT_SYSTEM, "cannot end connections: %s", strerror(-ret)) : 0;
}

static bool has6(const struct endpoint *ep)
{
	return !addr_is_any(&ep->addr6);
}

/* 0 if it may be added, 1 if it is there already, -1 with err naming who is in the way. */
static int check_conflicts(struct host *host, const struct mapping_table *table, const struct mapping *add,
			   const struct endpoint *ep, struct error *err)
{
	char text[MAPPING_TEXT], other[MAPPING_TEXT], holder[128];
	struct endpoint owner;
	int ret;

	mapping_format(add, text);
	for (unsigned int i = 0; i < table->count; i++) {
		const struct mapping *m = &table->entries[i];

		if (same(m, add))
			return 1;
		if (!overlap(m, add))
			continue;
		if (same_ports(m, add))
			return fail(err, EXIT_CONFLICT, "%s is exposed to %s for other sources: unexpose it first",
				    text, ep->name);
		if (endpoint_get(host, m->endpoint, &owner))
			strcpy(owner.name, "an endpoint that is being removed");
		return fail(err, EXIT_CONFLICT, "cannot expose %s %s: %s is exposed to %s", ep->name, text,
			    mapping_format(m, other), owner.name);
	}
	ret = host_port_holder(add, has6(ep), holder, sizeof(holder));
	if (ret < 0)
		return fail(err, EXIT_SYSTEM, "cannot list the host's sockets: %s", strerror(-ret));
	if (ret)
		return fail(err, EXIT_CONFLICT, "cannot expose %s %s: held by %s", ep->name, text, holder);
	return 0;
}

static int check_address(const struct host *host, const struct nsbpf_addr *addr, const struct endpoint *ep,
			 struct error *err)
{
	char text[ADDR_TEXT];

	if (addr_is_any(addr))
		return 0;
	if (!addr_is4(addr) && !has6(ep))
		return fail(err, EXIT_SYSTEM, "cannot expose %s on %s: it has no IPv6", ep->name,
			    addr_format(addr, text));
	return addr_is_loopback(addr) ? 0 : host_address_require(host, addr, err);
}

static struct mapping from_spec(__u8 proto, unsigned int slot, const struct port_spec *spec)
{
	return (struct mapping){ .addr = spec->addr,
				 .first = spec->first,
				 .last = spec->last,
				 .target = spec->target,
				 .endpoint = slot,
				 .proto = proto };
}

static int add_one(struct host *host, const struct mapping *add, const struct endpoint *ep, struct error *err)
{
	_cleanup_mapping_table_ struct mapping_table table;
	int ret;

	if (mapping_table_open(host, &table, err))
		return -1;
	ret = check_conflicts(host, &table, add, ep, err);
	if (ret)
		return ret < 0 ? -1 : 0;
	if (table.count == NSBPF_MAX_MAPPINGS)
		return fail(err, EXIT_SYSTEM, "there is room for %d exposed ports or ranges only", NSBPF_MAX_MAPPINGS);
	mapping_table_insert(&table, add);
	mapping_table_publish(&table);
	if (!addr_is_any(&add->addr) && end_connections(host, belongs_elsewhere, add, err))
		return -1;
	return 1;
}

/* Takes out every entry that `which` names. 1 if there was one, 0 if not, -1 with err. */
static int delete_where(struct host *host, bool (*which)(const struct mapping *, const void *), const void *arg,
			struct error *err)
{
	_cleanup_mapping_table_ struct mapping_table table;

	if (mapping_table_open(host, &table, err))
		return -1;
	for (unsigned int i = 0; i < table.count; i++)
		if (!which(&table.entries[i], arg))
			table.next[table.next_count++] = table.entries[i];
	if (table.next_count == table.count)
		return 0;
	mapping_table_publish(&table);
	for (unsigned int i = 0; i < table.count; i++)
		if (which(&table.entries[i], arg) && end_connections(host, came_through, &table.entries[i], err))
			return -1;
	return 1;
}

/* What `unexpose` names. Without a target it means the port, wherever that leads. */
struct named {
	struct mapping mapping;
	bool any_target;
};

static bool is_named(const struct mapping *m, const void *arg)
{
	const struct named *named = arg;
	struct mapping wanted = named->mapping;

	if (named->any_target)
		wanted.target = m->target;
	return same_ports(m, &wanted);
}

static bool is_to_endpoint(const struct mapping *m, const void *arg)
{
	return m->endpoint == *(const unsigned int *)arg;
}

int mapping_add(struct host *host, const struct exposure *exposure, struct error *err)
{
	const struct port_spec *spec = &exposure->ports;
	struct endpoint ep;
	struct mapping tcp, udp;
	int slot = endpoint_require(host, exposure->endpoint, &ep, err), added_tcp = 0, added_udp = 0;

	if (slot < 0 || check_address(host, &spec->addr, &ep, err))
		return -1;
	tcp = from_spec(IPPROTO_TCP, slot, spec);
	tcp.nsources = exposure->nsources;
	for (unsigned int i = 0; i < exposure->nsources; i++) {
		tcp.sources[i].addr = exposure->sources[i].addr;
		tcp.sources[i].prefix = exposure->sources[i].prefix;
	}
	udp = tcp;
	udp.proto = IPPROTO_UDP;
	if (spec->tcp)
		added_tcp = add_one(host, &tcp, &ep, err);
	if (spec->udp && added_tcp >= 0)
		added_udp = add_one(host, &udp, &ep, err);
	if (added_udp < 0 && added_tcp > 0)
		delete_where(host, is_named, &(struct named){ tcp, false }, &(struct error){ 0 });
	if (added_tcp < 0 || added_udp < 0)
		return -1;
	return added_tcp || added_udp;
}

/* A part of a range, or another target, is no entry of its own: to say "unchanged" of it would be a trap. */
static int check_not_part(const struct host *host, const struct mapping *gone, const char *endpoint, struct error *err)
{
	_cleanup_mapping_table_ struct mapping_table table;
	char text[MAPPING_TEXT], other[MAPPING_TEXT];

	if (mapping_table_open(host, &table, err))
		return -1;
	for (unsigned int i = 0; i < table.count; i++)
		if (table.entries[i].endpoint == gone->endpoint && overlap(&table.entries[i], gone))
			return fail(err, EXIT_CONFLICT, "%s is not exposed to %s as such: unexpose %s (target %u)",
				    mapping_format(gone, text), endpoint, mapping_format(&table.entries[i], other),
				    table.entries[i].target);
	return 0;
}

static int delete_one(struct host *host, const char *endpoint, const struct named *named, struct error *err)
{
	int ret = delete_where(host, is_named, named, err);

	return ret ? ret : check_not_part(host, &named->mapping, endpoint, err);
}

int mapping_delete(struct host *host, const char *endpoint, const struct port_spec *spec, struct error *err)
{
	struct endpoint ep;
	int slot = host->running ? endpoint_find(host, endpoint, &ep) : -1, tcp = 0, udp = 0;

	if (slot < 0)
		return fail(err, EXIT_MISSING, "no endpoint %s", endpoint);
	if (spec->tcp)
		tcp = delete_one(host, endpoint,
				 &(struct named){ from_spec(IPPROTO_TCP, slot, spec), !spec->has_target }, err);
	if (spec->udp && tcp >= 0)
		udp = delete_one(host, endpoint,
				 &(struct named){ from_spec(IPPROTO_UDP, slot, spec), !spec->has_target }, err);
	return tcp < 0 || udp < 0 ? -1 : tcp || udp;
}

int mappings_delete_of_endpoint(struct host *host, unsigned int slot, struct error *err)
{
	return delete_where(host, is_to_endpoint, &slot, err) < 0 ? -1 : 0;
}
