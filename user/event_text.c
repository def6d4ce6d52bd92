/* SPDX-License-Identifier: GPL-2.0-only */
/* What an event is about, as text and as JSON. */
#include "event_text.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "addr.h"
#include "connection_filter.h"
#include "drops.h"

#define NS_PER_S 1000000000ULL

static const char *const programs[EVENT_PROGRAMS] = {
	[EVENT_FROM_ENDPOINT] = "from_endpoint",
	[EVENT_FROM_UPLINK] = "from_uplink",
	[EVENT_TO_ENDPOINT] = "to_endpoint",
};

static const char *const verdicts[EVENT_VERDICTS] = {
	[EVENT_PASSED] = "passed",
	[EVENT_DROPPED] = "dropped",
	[EVENT_FORWARDED] = "forwarded",
	[EVENT_CONSUMED] = "consumed",
};

int event_protocol_parse(const char *text, __u8 *proto)
{
	int known = protocol_parse(text);
	unsigned long number = known;

	if (known < 0 && number_parse(text, 1, 255, &number))
		return -EINVAL;
	*proto = number;
	return 0;
}

#define PROTOCOL_TEXT 8

static const char *format_protocol(const struct tuple *tuple, char text[PROTOCOL_TEXT])
{
	const char *name = protocol_name(tuple->proto);

	if (name)
		snprintf(text, PROTOCOL_TEXT, "%s", name);
	else
		snprintf(text, PROTOCOL_TEXT, "%u", tuple->proto);
	return text;
}

static __u32 slot_of_address(const struct host *host, const struct nsbpf_addr *addr)
{
	__u32 slot;

	return bpf_map_lookup_elem(host->maps[MAP_ADDRESSES], addr, &slot) ? 0 : slot;
}

void packet_event_endpoints(const struct host *host, const struct packet_event *event, __u32 *of, __u32 *to)
{
	*of = event->endpoint;
	*to = slot_of_address(host, &event->became.daddr);
	if (!*to && event->program != EVENT_FROM_UPLINK)
		*to = slot_of_address(host, &event->tuple.daddr);
	if (!*of && event->program != EVENT_FROM_ENDPOINT)
		*of = *to;
}

static bool tuple_has_port(const struct tuple *tuple, __u16 port)
{
	return ntohs(tuple->sport) == port || ntohs(tuple->dport) == port;
}

bool packet_event_matches(const struct event_filter *filter, const struct host *host, const struct packet_event *event)
{
	__u32 of, to;

	if (filter->proto && event->tuple.proto != filter->proto)
		return false;
	if (filter->port && !tuple_has_port(&event->tuple, filter->port) &&
	    !tuple_has_port(&event->became, filter->port))
		return false;
	if (!filter->endpoint)
		return true;
	packet_event_endpoints(host, event, &of, &to);
	return of == filter->endpoint || to == filter->endpoint;
}

bool connection_event_matches(const struct event_filter *filter, const struct connection_event *event)
{
	const struct conn *c = &event->conn;

	if (filter->proto && c->tuples[DIR_ORIGINAL].proto != filter->proto)
		return false;
	if (filter->port && !tuple_has_port(&c->tuples[DIR_ORIGINAL], filter->port) &&
	    !tuple_has_port(&c->tuples[DIR_REPLY], filter->port))
		return false;
	return !filter->endpoint || c->endpoint == filter->endpoint || c->targets[DIR_ORIGINAL] == filter->endpoint ||
	       c->targets[DIR_REPLY] == filter->endpoint;
}

static __u64 clock_ns(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return t.tv_sec * NS_PER_S + t.tv_nsec;
}

__u64 event_clock(const struct event *event)
{
	return event->time + clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC);
}

static void format_time(const struct event *event, bool json, char text[EVENT_TIME])
{
	__u64 ns = event_clock(event);
	time_t seconds = ns / NS_PER_S;
	char date[EVENT_TIME];
	struct tm tm;

	if (json)
		gmtime_r(&seconds, &tm);
	else
		localtime_r(&seconds, &tm);
	strftime(date, sizeof(date), json ? "%Y-%m-%dT%H:%M:%S" : "%H:%M:%S", &tm);
	snprintf(text, EVENT_TIME, "%.20s.%06u%s", date, (unsigned int)(ns % NS_PER_S / 1000), json ? "Z" : "");
}

const char *event_time(const struct event *event, char text[EVENT_TIME])
{
	format_time(event, false, text);
	return text;
}

json_t *event_time_json(const struct event *event)
{
	char text[EVENT_TIME];

	format_time(event, true, text);
	return json_string(text);
}

static bool is_known(const struct tuple *tuple)
{
	return !addr_is_any(&tuple->daddr);
}

static bool tuples_equal(const struct tuple *a, const struct tuple *b)
{
	return addr_equal(&a->saddr, &b->saddr) && addr_equal(&a->daddr, &b->daddr) && a->sport == b->sport &&
	       a->dport == b->dport;
}

/* Has it been translated? */
static bool is_another(const struct packet_event *event)
{
	return is_known(&event->became) && !tuples_equal(&event->tuple, &event->became);
}

#define END_TEXT (ADDR_TEXT + 8)
#define TUPLE_TEXT (2 * END_TEXT + 8)

static void format_end(const struct nsbpf_addr *addr, __be16 port, char text[END_TEXT])
{
	char address[ADDR_TEXT];

	addr_format(addr, address);
	if (port)
		snprintf(text, END_TEXT, addr_is4(addr) ? "%s:%u" : "[%s]:%u", address, ntohs(port));
	else
		snprintf(text, END_TEXT, "%s", address);
}

static const char *format_tuple(const struct tuple *tuple, char text[TUPLE_TEXT])
{
	char source[END_TEXT], destination[END_TEXT];

	format_end(&tuple->saddr, tuple->sport, source);
	format_end(&tuple->daddr, tuple->dport, destination);
	snprintf(text, TUPLE_TEXT, "%s > %s", source, destination);
	return text;
}

static const char *endpoint_name(const struct host *host, __u32 slot)
{
	return slot && slot < NSBPF_MAX_ENDPOINTS ? host->endpoints[slot].name : NULL;
}

const char *packet_event_device(const struct packet_event *event, char name[IFNAMSIZ])
{
	if (!if_indextoname(event->ifindex, name))
		snprintf(name, IFNAMSIZ, "if%u", event->ifindex);
	return name;
}

/* Behind the verdict: why it was dropped, or what it was translated to. */
static void format_outcome(const struct packet_event *event, char *text, size_t size)
{
	char tuple[TUPLE_TEXT];

	text[0] = '\0';
	if (event->verdict == EVENT_DROPPED)
		snprintf(text, size, ": %s (%s)", drop_name(event->reason), drop_text(event->reason));
	else if (is_another(event))
		snprintf(text, size, " as %s", format_tuple(&event->became, tuple));
}

/* What it is: its protocol and tuple, unless it is no IP or was not understood. */
static void format_packet(const struct packet_event *event, char *text, size_t size)
{
	char tuple[TUPLE_TEXT], proto[PROTOCOL_TEXT];

	if (is_known(&event->tuple))
		snprintf(text, size, "%s %s", format_protocol(&event->tuple, proto),
			 format_tuple(&event->tuple, tuple));
	else
		snprintf(text, size, "a frame of %u bytes", event->length);
}

void packet_event_line(const struct host *host, const struct packet_event *event, char *text, size_t size)
{
	char packet[TUPLE_TEXT + PROTOCOL_TEXT], device[IFNAMSIZ], outcome[EVENT_LINE / 2];
	const char *name;
	__u32 of, to;

	packet_event_endpoints(host, event, &of, &to);
	name = endpoint_name(host, of);
	format_packet(event, packet, sizeof(packet));
	format_outcome(event, outcome, sizeof(outcome));
	snprintf(text, size, "%s %s %s on %s%s", verdicts[event->verdict], name ? name : "-", packet,
		 packet_event_device(event, device), outcome);
}

void packet_event_comment(const struct host *host, const struct packet_event *event, char *text, size_t size)
{
	char outcome[EVENT_LINE / 2];
	const char *name;
	__u32 of, to;

	packet_event_endpoints(host, event, &of, &to);
	name = endpoint_name(host, of);
	format_outcome(event, outcome, sizeof(outcome));
	snprintf(text, size, "%s%s%s: %s%s", programs[event->program], name ? " of " : "", name ? name : "",
		 verdicts[event->verdict], outcome);
}

static json_t *tuple_json(const struct tuple *tuple)
{
	char source[ADDR_TEXT], destination[ADDR_TEXT], proto[PROTOCOL_TEXT];

	return json_pack("{s:s,s:s,s:i,s:s,s:i}", "protocol", format_protocol(tuple, proto), "source",
			 addr_format(&tuple->saddr, source), "source_port", ntohs(tuple->sport), "destination",
			 addr_format(&tuple->daddr, destination), "destination_port", ntohs(tuple->dport));
}

json_t *packet_event_json(const struct host *host, const struct packet_event *event)
{
	bool dropped = event->verdict == EVENT_DROPPED;
	char device[IFNAMSIZ];
	__u32 of, to;

	packet_event_endpoints(host, event, &of, &to);
	return json_pack("{s:s,s:o,s:s,s:s,s:s?,s:s,s:i,s:s?,s:s?,s:o,s:o}", "event",
			 event->event.kind == EVENT_DROP ? "drop" : "packet", "time", event_time_json(&event->event),
			 "program", programs[event->program], "device", packet_event_device(event, device), "endpoint",
			 endpoint_name(host, of), "verdict", verdicts[event->verdict], "length", event->length,
			 "reason", dropped ? drop_name(event->reason) : NULL, "text",
			 dropped ? drop_text(event->reason) : NULL, "packet",
			 is_known(&event->tuple) ? tuple_json(&event->tuple) : json_null(), "becomes",
			 is_another(event) ? tuple_json(&event->became) : json_null());
}
