/* SPDX-License-Identifier: GPL-2.0-only */
/* What is known of a connection, in words. Nothing here looks at the table: see connections.c. */
#include "connection_view.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "addr.h"
#include "nsbpf/order.h"

#define NS_PER_S 1000000000ULL

const char *protocol_name(__u8 proto)
{
	switch (proto) {
	case IPPROTO_TCP:
		return "tcp";
	case IPPROTO_UDP:
		return "udp";
	case IPPROTO_ICMP:
		return "icmp";
	case IPPROTO_ICMPV6:
		return "icmpv6";
	default:
		return NULL;
	}
}

const char *connection_state_name(enum conn_state state)
{
	static const char *const names[CONN_STATES] = {
		[CONN_TCP_SYN] = "tcp-syn",     [CONN_TCP_ESTABLISHED] = "tcp-established",
		[CONN_TCP_FIN] = "tcp-fin",     [CONN_TCP_CLOSING] = "tcp-closing",
		[CONN_TCP_RESET] = "tcp-reset", [CONN_UDP] = "udp",
		[CONN_ICMP] = "icmp",
	};

	return names[state];
}

/* As clock_now() in bpf/settings.h. */
static __u32 clock_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (now.tv_sec * NS_PER_S + now.tv_nsec) >> NSBPF_CLOCK_SHIFT;
}

static __u32 idle_time(const struct traffic *traffic, __u32 now)
{
	__s32 age = now - traffic->seen;

	return age > 0 ? age : 0;
}

/* As conn_idle() in bpf/conntrack.h. The deadline would not tell: traffic puts it off only when it comes. */
static __u32 connection_idle(const struct settings *settings, const struct connection_view *view)
{
	__u32 now = clock_now(), original = idle_time(&view->traffic[DIR_ORIGINAL], now);
	__u32 reply = idle_time(&view->traffic[DIR_REPLY], now);

	if (settings->flags & SETTING_NO_INBOUND_REFRESH && !(view->conn.flags & CONN_HAIRPIN))
		return view->conn.targets[DIR_ORIGINAL] ? reply : original;
	return original < reply ? original : reply;
}

void connection_view_complete(const struct host *host, struct connection_view *view)
{
	const struct endpoint *endpoint = &host->endpoints[view->conn.endpoint % NSBPF_MAX_ENDPOINTS];
	const struct settings *settings = host->settings;
	__u32 idle = connection_idle(settings, view);
	__u64 limit;

	view->state = conn_state(view->conn.tuples[DIR_ORIGINAL].proto, view->traffic[DIR_ORIGINAL].tcp,
				 view->traffic[DIR_REPLY].tcp);
	limit = (__u64)settings->timeouts[view->state] * settings->second;
	view->left = idle < limit ? (limit - idle) / settings->second : 0;
	view->endpoint = endpoint->state == SLOT_FREE ? "" : endpoint->name;
}

bool connection_is_replied(const struct connection_view *view)
{
	return view->traffic[DIR_REPLY].packets;
}

bool connection_is_assured(const struct connection_view *view)
{
	if (view->conn.tuples[DIR_ORIGINAL].proto != IPPROTO_TCP)
		return connection_is_replied(view);
	return view->state == CONN_TCP_ESTABLISHED || view->state == CONN_TCP_FIN;
}

bool connection_is_query(const struct connection_view *view)
{
	return view->state == CONN_ICMP;
}

/* One of a query's two is 0. */
static __u16 port_of(const struct connection_view *view, enum conn_dir dir, __be16 port)
{
	const struct tuple *tuple = &view->conn.tuples[dir];

	return ntohs(connection_is_query(view) ? tuple->sport | tuple->dport : port);
}

__u16 connection_source_port(const struct connection_view *view, enum conn_dir dir)
{
	return port_of(view, dir, view->conn.tuples[dir].sport);
}

__u16 connection_destination_port(const struct connection_view *view, enum conn_dir dir)
{
	return port_of(view, dir, view->conn.tuples[dir].dport);
}

/* "ESTABLISHED"; a state that is the protocol's only one says nothing. */
static const char *state_word(enum conn_state state, char text[16])
{
	const char *name = connection_state_name(state);
	size_t i;

	if (strncmp(name, "tcp-", 4))
		return "-";
	for (i = 0; name[4 + i]; i++)
		text[i] = toupper((unsigned char)name[4 + i]);
	text[i] = '\0';
	return text;
}

static int format_direction(const struct connection_view *view, enum conn_dir dir, char *text, size_t size)
{
	const struct tuple *tuple = &view->conn.tuples[dir];
	char source[ADDR_TEXT], destination[ADDR_TEXT], ports[32];

	if (connection_is_query(view))
		snprintf(ports, sizeof(ports), "id=%u", connection_source_port(view, dir));
	else
		snprintf(ports, sizeof(ports), "sport=%u dport=%u", ntohs(tuple->sport), ntohs(tuple->dport));
	return snprintf(text, size, "src=%s dst=%s %s packets=%llu bytes=%llu", addr_format(&tuple->saddr, source),
			addr_format(&tuple->daddr, destination), ports, view->traffic[dir].packets,
			view->traffic[dir].bytes);
}

const char *connection_line(const struct connection_view *view, char text[CONNECTION_LINE])
{
	const char *assured = connection_is_assured(view) ? " [ASSURED]" : "";
	char state[16], directions[CONN_DIRS][CONNECTION_LINE / 3];

	for (int dir = 0; dir < CONN_DIRS; dir++)
		format_direction(view, dir, directions[dir], sizeof(directions[dir]));
	snprintf(text, CONNECTION_LINE, "%-6s %-11s %5u %s%s %s%s endpoint=%s",
		 protocol_name(view->conn.tuples[DIR_ORIGINAL].proto), state_word(view->state, state), view->left,
		 directions[DIR_ORIGINAL], connection_is_replied(view) ? "" : " [UNREPLIED]", directions[DIR_REPLY],
		 assured, view->endpoint[0] ? view->endpoint : "-");
	return text;
}

static json_t *direction_json(const struct connection_view *view, enum conn_dir dir)
{
	const struct tuple *tuple = &view->conn.tuples[dir];
	char source[ADDR_TEXT], destination[ADDR_TEXT];
	bool query = connection_is_query(view);

	return json_pack("{s:s,s:o,s:s,s:o,s:o,s:I,s:I}", "source", addr_format(&tuple->saddr, source), "source_port",
			 query ? json_null() : json_integer(ntohs(tuple->sport)), "destination",
			 addr_format(&tuple->daddr, destination), "destination_port",
			 query ? json_null() : json_integer(ntohs(tuple->dport)), "id",
			 query ? json_integer(connection_source_port(view, dir)) : json_null(), "packets",
			 (json_int_t)view->traffic[dir].packets, "bytes", (json_int_t)view->traffic[dir].bytes);
}

static json_t *nat_json(__u8 flags)
{
	json_t *json = json_array();

	if (flags & CONN_SNAT)
		json_array_append_new(json, json_string("snat"));
	if (flags & CONN_DNAT)
		json_array_append_new(json, json_string("dnat"));
	return json;
}

json_t *connection_json(const struct connection_view *view)
{
	return json_pack("{s:s,s:s,s:I,s:s?,s:b,s:b,s:o,s:o,s:o}", "protocol",
			 protocol_name(view->conn.tuples[DIR_ORIGINAL].proto), "state",
			 connection_state_name(view->state), "left", (json_int_t)view->left, "endpoint",
			 view->endpoint[0] ? view->endpoint : NULL, "replied", connection_is_replied(view), "assured",
			 connection_is_assured(view), "nat", nat_json(view->conn.flags), "original",
			 direction_json(view, DIR_ORIGINAL), "reply", direction_json(view, DIR_REPLY));
}
