/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf monitor */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "command.h"
#include "connection_event.h"
#include "endpoints.h"
#include "event_text.h"
#include "listen.h"
#include "pcapng.h"
#include "terminal.h"

struct monitor {
	struct host host; /* for names */
	struct event_filter filter;
	bool drops;
	bool packets;
	struct pcapng pcapng;
	FILE *file; /* of pcapng, or NULL */
};

struct words {
	const char *endpoint, *proto, *port, *pcap, *count, *time;
};

static int write_packet(struct monitor *m, const struct packet_event *event)
{
	char comment[EVENT_LINE], device[IFNAMSIZ];
	int ret;

	packet_event_comment(&m->host, event, comment, sizeof(comment));
	ret = pcapng_write(&m->pcapng, &(struct pcapng_packet){
					       .ifindex = event->ifindex,
					       .device = packet_event_device(event, device),
					       .time = event_clock(&event->event),
					       .outbound = event->program == EVENT_TO_ENDPOINT,
					       .length = event->length,
					       .captured = event->captured,
					       .bytes = event + 1,
					       .comment = comment,
				       });
	return ret ? ret : 1;
}

static int show_packet(struct monitor *m, const struct packet_event *event)
{
	char line[EVENT_LINE], time[EVENT_TIME];

	if (!packet_event_matches(&m->filter, &m->host, event) || (m->drops && event->verdict != EVENT_DROPPED))
		return 0;
	if (m->file)
		return write_packet(m, event);
	if (json_output)
		return listening_print(packet_event_json(&m->host, event));
	packet_event_line(&m->host, event, line, sizeof(line));
	printf("%s%s%s %s%s%s\n", color(stdout, COLOR_DIM), event_time(&event->event, time), color(stdout, COLOR_NONE),
	       color(stdout, event->verdict == EVENT_DROPPED ? COLOR_BAD : COLOR_NONE), line,
	       color(stdout, COLOR_NONE));
	return 1;
}

static int show_connection(struct monitor *m, const struct connection_event *event)
{
	struct connection_view view;

	if (!connection_event_matches(&m->filter, event))
		return 0;
	connection_event_view(&m->host, event, &view);
	return connection_event_show(event, &view);
}

static int show(void *arg, void *record, size_t size)
{
	const struct event *event = record;
	struct monitor *m = arg;

	if (event->kind == EVENT_DROP || event->kind == EVENT_PACKET)
		return size >= sizeof(struct packet_event) ? show_packet(m, record) : 0;
	return size >= sizeof(struct connection_event) ? show_connection(m, record) : 0;
}

static int parse_words(struct monitor *m, const struct words *words)
{
	unsigned long port;

	if (words->proto && event_protocol_parse(words->proto, &m->filter.proto))
		return report_usage("--proto %s: tcp, udp, icmp, icmpv6 or a number is wanted", words->proto);
	if (words->port && number_parse(words->port, 1, 65535, &port))
		return report_usage("--port %s: a number from 1 to 65535 is wanted", words->port);
	m->filter.port = words->port ? port : 0;
	if (m->drops && m->packets)
		return report_usage("--drops and --packets: one of them is wanted");
	if (words->pcap && !strcmp(words->pcap, "-") && isatty(STDOUT_FILENO))
		return report_usage(
			"--pcap -: a terminal can't read packets (`nsbpf monitor --pcap - | tcpdump -r -`)");
	return 0;
}

/* What has to be there before anything is listened to. */
static int open_monitor(struct monitor *m, const struct words *words, struct error *err)
{
	struct endpoint endpoint;
	int slot = 0;

	if (host_open(&m->host, err))
		return -1;
	if (!m->host.running)
		return fail(err, EXIT_MISSING, "nothing runs here (`nsbpf add NAME` begins)");
	if (words->endpoint)
		slot = endpoint_require(&m->host, words->endpoint, &endpoint, err);
	if (slot < 0)
		return -1;
	m->filter.endpoint = slot;
	if (!words->pcap)
		return 0;
	m->file = strcmp(words->pcap, "-") ? fopen(words->pcap, "we") : stdout;
	if (!m->file || pcapng_begin(&m->pcapng, m->file, NSBPF_CAPTURE) || fflush(m->file))
		return fail(err, EXIT_SYSTEM, "cannot write %s: %s", words->pcap, strerror(errno));
	return 0;
}

static void close_monitor(struct monitor *m)
{
	pcapng_end(&m->pcapng);
	if (m->file && m->file != stdout)
		fclose(m->file);
	host_close(&m->host);
}

int cmd_monitor(int argc, char **argv)
{
	struct monitor m = { .drops = false };
	struct words words = { NULL };
	const struct option_spec options[] = {
		{ .name = "drops", .flag = &m.drops },
		{ .name = "packets", .flag = &m.packets },
		{ .name = "pcap", .value = &words.pcap },
		{ .name = "endpoint", .value = &words.endpoint },
		{ .name = "proto", .value = &words.proto },
		{ .name = "port", .value = &words.port },
		{ .name = "count", .value = &words.count },
		{ .name = "time", .value = &words.time },
		{ NULL },
	};
	struct listening listening = { .show = show, .arg = &m };
	struct error err;
	int ret;

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 1)
		return report_usage("monitor takes no words");
	if (parse_words(&m, &words) || listening_limits(&listening, words.count, words.time))
		return EXIT_USAGE;
	if (words.pcap || m.packets)
		listening.kinds = LISTEN(EVENT_PACKET);
	else
		listening.kinds = m.drops ? LISTEN(EVENT_DROP) : LISTEN_CONNECTIONS | LISTEN(EVENT_DROP);
	listening.silent = words.pcap;
	ret = open_monitor(&m, &words, &err) ? report(&err) : listen_until_end(&listening);
	close_monitor(&m);
	return ret;
}
