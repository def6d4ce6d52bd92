/* SPDX-License-Identifier: GPL-2.0-only */
/* Events that are meant, and how they are told. */
#ifndef NSBPF_EVENT_TEXT_H
#define NSBPF_EVENT_TEXT_H

#include <jansson.h>
#include <net/if.h>

#include "host.h"
#include "nsbpf/events.h"

#define EVENT_LINE 512

struct event_filter {
	__u32 endpoint; /* slot; 0: any */
	__u16 port;     /* of either end, host order; 0: any */
	__u8 proto;     /* 0: any */
};

/* "tcp", "udp", "icmp", "icmpv6", or a protocol's number. 0, or -EINVAL. */
int event_protocol_parse(const char *text, __u8 *proto);

/* The endpoints that a packet is of: whose it is by the datapath's account, and where it goes. 0: none. */
void packet_event_endpoints(const struct host *host, const struct packet_event *event, __u32 *of, __u32 *to);

bool packet_event_matches(const struct event_filter *filter, const struct host *host, const struct packet_event *event);
bool connection_event_matches(const struct event_filter *filter, const struct connection_event *event);

#define EVENT_TIME 32

/* Wall-clock time, ns. */
__u64 event_clock(const struct event *event);
/* For people "12:01:02.123456", by this machine's clock; for JSON "2026-11-22T12:01:02.123456Z". */
const char *event_time(const struct event *event, char text[EVENT_TIME]);
json_t *event_time_json(const struct event *event);

const char *packet_event_device(const struct packet_event *event, char name[IFNAMSIZ]);

/* The line for people, without the time; and what is left to say to who has the packet before him. */
void packet_event_line(const struct host *host, const struct packet_event *event, char *text, size_t size);
void packet_event_comment(const struct host *host, const struct packet_event *event, char *text, size_t size);
json_t *packet_event_json(const struct host *host, const struct packet_event *event);

#endif
