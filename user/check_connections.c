/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Do the tables of connections agree: index, places, counters, NAT ports? Packets change them meanwhile, so what does
 * not fit is looked at again, and only what has not fitted each time is said.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_internal.h"
#include "check_tables.h"
#include "cleanup.h"
#include "connections.h"

#define LOOKS 3
#define BETWEEN_LOOKS 20000 /* us */

#define BEGIN_ANEW "`nsbpf down` and beginning anew mends it"

static bool is_among(const struct suspect *suspect, const struct suspects *suspects)
{
	for (size_t i = 0; i < suspects->count; i++)
		if (suspects->list[i].what == suspect->what && suspects->list[i].number == suspect->number &&
		    suspects->list[i].value == suspect->value)
			return true;
	return false;
}

/* Keeps those that are among the others, too. */
static void keep_common(struct suspects *suspects, const struct suspects *others)
{
	size_t kept = 0;

	for (size_t i = 0; i < suspects->count; i++)
		if (is_among(&suspects->list[i], others))
			suspects->list[kept++] = suspects->list[i];
	suspects->count = kept;
	suspects->churn = others->churn;
}

static int look_twice(struct tables *tables, struct suspects *suspects)
{
	int ret = tables_look(tables, suspects);

	for (int i = 1; i < LOOKS && !ret && suspects->count; i++) {
		struct suspects again = { 0 };

		usleep(BETWEEN_LOOKS);
		ret = tables_look(tables, &again);
		if (!ret)
			keep_common(suspects, &again);
		free(again.list);
	}
	return ret;
}

/* "tcp 10.80.0.2:40000 to 198.51.100.2:80" */
static void object_of_connection(struct check *check, const struct tuple *t)
{
	const char *proto = t->proto == IPPROTO_TCP ? "tcp" : t->proto == IPPROTO_UDP ? "udp" : "icmp";
	char source[ADDR_TEXT], target[ADDR_TEXT];

	check_object(check, "connection %s %s:%u to %s:%u", proto, addr_format(&t->saddr, source), ntohs(t->sport),
		     addr_format(&t->daddr, target), ntohs(t->dport));
}

static void object_of_nat_port(struct check *check, __u64 number)
{
	static const char *const names[NAT_PROTOS] = { "tcp", "udp", "icmp" };

	check_object(check, "NAT port %s/%u of address %u", names[(number >> 16) % NAT_PROTOS], (__u16)number,
		     (unsigned int)(number >> 16) / NAT_PROTOS);
}

static void object_of_counter(struct check *check, __u64 slot)
{
	struct endpoint endpoint;

	if (!slot)
		check_object(check, "host");
	else if (!endpoint_get(check->host, slot, &endpoint))
		check_object(check, "endpoint %s", endpoint.name);
	else
		check_object(check, "slot %u", (unsigned int)slot);
}

/* One direction can't be found, so packets of it are strangers: it is ended by the other one. */
static void end_connection(struct check *check, const struct conn *conn, enum conn_dir findable)
{
	struct conn copy = *conn;
	int ret;

	copy.tuples[DIR_ORIGINAL] = conn->tuples[findable];
	ret = connection_end(check->host, &copy);
	check_outcome(check, ret < 0 ? ret : 0);
}

static void accuse_direction(struct check *check, const struct tables *t, const struct suspect *s)
{
	const struct conn *c = &t->connections[s->number / 2 - 1];
	enum conn_dir dir = s->number % 2;
	const char *what = dir == DIR_ORIGINAL ? "original in the index" : "reply in the index";

	object_of_connection(check, &c->tuples[DIR_ORIGINAL]);
	if (check_differs(check, what, "once", s->what == NOT_FOUND ? "missing" : "twice"))
		end_connection(check, c, !dir);
}

/* Taking it out takes compare and exchange, and the map is no memory. */
static void accuse_word(struct check *check, const struct suspect *s)
{
	char what[CHECK_TEXT];

	check_object(check, "index of connections");
	snprintf(what, sizeof(what), "word %llu", (unsigned long long)s->number);
	check_differs(check, what, "of a connection", "of none, place %u", (__u32)s->value >> 1);
	check_advise(check, BEGIN_ANEW);
}

/* As place_give() in bpf/conntrack.h does. */
static void give_place(const struct tables *t, __u32 place)
{
	__u32 at = __atomic_fetch_add(&t->pressure->given, 1, __ATOMIC_SEQ_CST);

	__atomic_store_n(&t->places[at & (t->room - 1)], place, __ATOMIC_SEQ_CST);
}

static void accuse_place(struct check *check, const struct tables *t, const struct suspect *s)
{
	char what[CHECK_TEXT];

	check_object(check, "places of connections");
	snprintf(what, sizeof(what), "place %u", (__u32)s->number);
	if (s->what == PLACE_SHARED) {
		check_differs(check, what, "a connection's or free", "both, or free twice");
		check_advise(check, BEGIN_ANEW);
	} else if (check_differs(check, what, "a connection's or free", "neither")) {
		give_place(t, s->number);
		check_outcome(check, 0);
	}
}

static void accuse_counter(struct check *check, const struct tables *t, const struct suspect *s, __u32 churn)
{
	bool nat = s->what == MISCOUNTED_NAT;
	__u32 *noted = nat ? &t->usage[s->number].ports : &t->usage[s->number].connections, is = *noted;
	char should[CHECK_TEXT];

	object_of_counter(check, s->number);
	snprintf(should, sizeof(should), "%u", (__u32)s->value);
	if (!check_differs(check, nat ? "count of NAT ports" : "count of connections", should, "%u", is))
		return;
	/* By the difference: whoever counts meanwhile is not lost. */
	if (!churn)
		__atomic_fetch_add(noted, (__u32)s->value - is, __ATOMIC_SEQ_CST);
	check_outcome(check, churn ? -EAGAIN : 0);
}

static void accuse_port(struct check *check, const struct tables *t, const struct suspect *s, __u32 churn)
{
	__u64 *word = &t->nat_ports[s->number], is = *word, wanted;
	unsigned int should = s->value >> 16, users = s->value & 0xffff;
	char text[CHECK_TEXT];

	object_of_nat_port(check, s->number);
	snprintf(text, sizeof(text), "%u", should);
	if (!check_differs(check, "connections", text, "%u", users))
		return;
	/* Taking or freeing it is more than the number: the datapath's own business, when its next user ends. */
	if (!users || !should) {
		check_advise(check, BEGIN_ANEW);
		return;
	}
	wanted = is + (((__u64)should - users) << NAT_USERS_SHIFT);
	if (!churn && __atomic_compare_exchange_n(word, &is, wanted, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		check_outcome(check, 0);
	else
		check_outcome(check, -EAGAIN);
}

static void accuse_binding(struct check *check, const struct suspect *s)
{
	char what[CHECK_TEXT];

	if (s->what == BINDING_LOST) {
		object_of_nat_port(check, s->number);
		check_differs(check, "binding", "there", "missing");
		check_advise(check, "it is made anew when its connections have ended");
		return;
	}
	check_object(check, "NAT bindings");
	snprintf(what, sizeof(what), "word %llu", (unsigned long long)s->number);
	check_differs(check, what, "of a NAT port in use", "of none");
	check_advise(check, "it is replaced when its port is used again");
}

static void accuse(struct check *check, const struct tables *t, const struct suspect *s, __u32 churn)
{
	switch (s->what) {
	case LEADS_NOWHERE:
		return accuse_word(check, s);
	case NOT_FOUND:
	case FOUND_TWICE:
		return accuse_direction(check, t, s);
	case PLACE_LOST:
	case PLACE_SHARED:
		return accuse_place(check, t, s);
	case MISCOUNTED:
	case MISCOUNTED_NAT:
		return accuse_counter(check, t, s, churn);
	case PORT_USERS:
		return accuse_port(check, t, s, churn);
	case BINDING_LOST:
	case BINDING_STRAY:
		return accuse_binding(check, s);
	}
}

int check_connections(struct check *check, struct error *err)
{
	_cleanup_tables_ struct tables tables;
	struct suspects suspects = { 0 };
	int ret;

	if (tables_open(check->host, check->repair, &tables, err))
		return -1;
	ret = look_twice(&tables, &suspects);
	if (ret)
		fail(err, EXIT_SYSTEM, "cannot look at the connections: %s", strerror(-ret));
	for (size_t i = 0; i < suspects.count && !ret; i++)
		accuse(check, &tables, &suspects.list[i], suspects.churn);
	check->looked_at.connections = check->host->usage[0].connections;
	free(suspects.list);
	return ret ? -1 : 0;
}
