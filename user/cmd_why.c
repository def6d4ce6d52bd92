/* SPDX-License-Identifier: GPL-2.0-only */
/* nsbpf why */
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <string.h>

#include "addr.h"
#include "command.h"
#include "connection_view.h"
#include "drops.h"
#include "endpoints.h"
#include "explain.h"
#include "packet_build.h"
#include "terminal.h"

#define SOURCE_PORT "50000" /* where none is given */
#define ECHO_ID 1

static const char *const origins[] = {
	[ORIGIN_ENDPOINT] = "endpoint",
	[ORIGIN_OUTSIDE] = "outside",
	[ORIGIN_HOST] = "host",
};

static const char *const outcomes[] = {
	[OUTCOME_FORWARDED] = "forwarded",
	[OUTCOME_HOST] = "host",
	[OUTCOME_DROPPED] = "dropped",
};

static bool has_ports(const struct tuple *tuple)
{
	return tuple->proto == IPPROTO_TCP || tuple->proto == IPPROTO_UDP;
}

/* "192.0.2.1", "192.0.2.1:80", "2001:db8::1" or "[2001:db8::1]:80"; *port points behind the colon, or is NULL. */
static int split_end(const char *word, char *copy, size_t size, char **port)
{
	char *colon, *bracket;

	if (strlen(word) >= size)
		return -1;
	strcpy(copy, word);
	*port = NULL;
	bracket = *copy == '[' ? strchr(copy, ']') : NULL;
	colon = strchr(bracket ? bracket : copy, ':');
	if (bracket) {
		*bracket = '\0';
		memmove(copy, copy + 1, strlen(copy));
		if (bracket[1] && colon != bracket + 1)
			return -1;
	} else if (colon && strchr(colon + 1, ':')) {
		return 0; /* IPv6 */
	}
	if (colon) {
		*colon = '\0';
		*port = colon + 1;
	}
	return 0;
}

static int parse_end(const char *word, const char *missing, bool ports, struct nsbpf_addr *addr, __be16 *port)
{
	char copy[ADDR_TEXT + 16], *given;
	const char *text;
	unsigned long number;

	if (split_end(word, copy, sizeof(copy), &given) || addr_parse(copy, addr))
		return report_usage("bad address %s: as in 192.0.2.1:80 or [2001:db8::1]:80", word);
	if (!ports)
		return given ? report_usage("%s: ICMP has no ports", word) : 0;
	text = given ? given : missing;
	if (!text)
		return report_usage("%s needs a port: %s", word,
				    addr_is4(addr) ? "as in 192.0.2.1:80" : "as in [2001:db8::1]:80");
	if (number_parse(text, 1, 65535, &number))
		return report_usage("bad port %s: 1 to 65535", text);
	*port = htons(number);
	return 0;
}

static int parse_packet(char **words, struct tuple *tuple)
{
	if (!strcmp(words[0], "tcp"))
		tuple->proto = IPPROTO_TCP;
	else if (!strcmp(words[0], "udp"))
		tuple->proto = IPPROTO_UDP;
	else if (!strcmp(words[0], "icmp") || !strcmp(words[0], "icmpv6"))
		tuple->proto = IPPROTO_ICMP;
	else
		return report_usage("no protocol %s here: tcp, udp or icmp", words[0]);
	if (parse_end(words[1], SOURCE_PORT, has_ports(tuple), &tuple->saddr, &tuple->sport) ||
	    parse_end(words[2], NULL, has_ports(tuple), &tuple->daddr, &tuple->dport))
		return EXIT_USAGE;
	if (addr_is4(&tuple->saddr) != addr_is4(&tuple->daddr))
		return report_usage("%s and %s are not of one family", words[1], words[2]);
	if (has_ports(tuple))
		return 0;
	if (!addr_is4(&tuple->saddr))
		tuple->proto = IPPROTO_ICMPV6;
	tuple->sport = htons(ECHO_ID);
	return 0;
}

static int parse_size(const char *text, struct question *question)
{
	unsigned int least = packet_least(&question->tuple), most = PACKET_MAX - ETH_HLEN;
	unsigned long size;

	if (!text)
		return 0;
	if (number_parse(text, least, most, &size))
		return report_usage("bad size %s: %u to %u bytes, IP header and all", text, least, most);
	question->size = size;
	return 0;
}

/* 0, or -1 with err. */
static int find_origin(const struct host *host, const char *from, struct question *question, struct error *err)
{
	struct endpoint endpoint;
	int slot;

	if (!from) {
		question_guess_origin(host, question);
		return 0;
	}
	if (!strcmp(from, "outside") || !strcmp(from, "host")) {
		question->origin = *from == 'o' ? ORIGIN_OUTSIDE : ORIGIN_HOST;
		return 0;
	}
	slot = endpoint_find(host, from, &endpoint);
	if (slot < 0)
		return fail(err, EXIT_MISSING, "no endpoint %s (`nsbpf list` shows them; or outside, or host)", from);
	question->origin = ORIGIN_ENDPOINT;
	question->slot = slot;
	return 0;
}

static int run(const char *from, struct question *question, struct explanation *explanation, char *name,
	       struct error *err)
{
	struct host host;
	int ret = host_open(&host, err);

	if (!ret && !host.running)
		ret = fail(err, EXIT_MISSING, "nothing runs here (`nsbpf add NAME` begins)");
	if (!ret)
		ret = find_origin(&host, from, question, err);
	if (!ret)
		ret = explain(&host, question, explanation, err);
	if (!ret && question->origin == ORIGIN_ENDPOINT)
		strcpy(name, host.endpoints[question->slot].name);
	host_close(&host);
	return ret;
}

static json_t *ends_json(const struct tuple *tuple)
{
	char source[ADDR_TEXT], destination[ADDR_TEXT];
	bool ports = has_ports(tuple);

	return json_pack("{s:s,s:o,s:s,s:o}", "source", addr_format(&tuple->saddr, source), "source_port",
			 ports ? json_integer(ntohs(tuple->sport)) : json_null(), "destination",
			 addr_format(&tuple->daddr, destination), "destination_port",
			 ports ? json_integer(ntohs(tuple->dport)) : json_null());
}

/* Would it arrive, and find somebody? */
static bool is_well(const struct explanation *e)
{
	return e->outcome != OUTCOME_DROPPED && !e->obstacle_count;
}

static json_t *explanation_json(const struct explanation *e, const char *name)
{
	json_t *stages = json_array(), *obstacles = json_array();

	for (size_t i = 0; i < e->stage_count; i++)
		json_array_append_new(stages,
				      json_pack("{s:s,s:s}", "stage", e->stages[i].name, "text", e->stages[i].text));
	for (size_t i = 0; i < e->obstacle_count; i++)
		json_array_append_new(obstacles, json_pack("{s:s,s:s}", "text", e->obstacles[i].text, "remedy",
							   e->obstacles[i].remedy));
	return json_pack("{s:s,s:o,s:s,s:s?,s:o,s:b,s:s,s:s,s:s?,s:s?,s:s?,s:o,s:o}", "protocol",
			 protocol_name(e->question.tuple.proto), "packet", ends_json(&e->question.tuple), "from",
			 origins[e->question.origin], "endpoint", *name ? name : NULL, "stages", stages, "ok",
			 is_well(e), "verdict", outcomes[e->outcome], "text", e->verdict, "reason",
			 e->outcome == OUTCOME_DROPPED ? drop_name(e->reason) : NULL, "icmp_error", e->answer, "advice",
			 e->advice[0] ? e->advice : NULL, "becomes",
			 e->outcome == OUTCOME_FORWARDED ? ends_json(&e->becomes) : json_null(), "obstacles",
			 obstacles);
}

static void print_line(const char *label, enum color shade, const char *text)
{
	printf("%-11s %s%s%s\n", label, color(stdout, shade), text, color(stdout, COLOR_NONE));
}

static void print_explanation(const struct explanation *e)
{
	bool is_dropped = e->outcome == OUTCOME_DROPPED;

	for (size_t i = 0; i < e->stage_count; i++)
		print_line(e->stages[i].name, COLOR_NONE, e->stages[i].text);
	print_line("verdict", is_dropped ? COLOR_BAD : COLOR_GOOD, e->verdict);
	if (e->answer)
		printf("%-11s its sender is told: %s\n", "", e->answer);
	for (size_t i = 0; i < e->obstacle_count; i++) {
		print_line(is_dropped ? "also" : "but", COLOR_WARNING, e->obstacles[i].text);
		printf("%-11s %s\n", "", e->obstacles[i].remedy);
	}
	if (e->advice[0])
		print_line("try", COLOR_BOLD, e->advice);
}

int cmd_why(int argc, char **argv)
{
	struct question question = { 0 };
	const char *from = NULL, *size = NULL;
	const struct option_spec options[] = { { .name = "from", .value = &from },
					       { .name = "size", .value = &size },
					       { .name = "established", .flag = &question.established },
					       { 0 } };
	char name[NSBPF_NAME_MAX + 1] = "";
	struct explanation explanation;
	struct error err;

	if (parse_options(&argc, argv, options))
		return EXIT_USAGE;
	if (argc != 4)
		return report_usage("why takes a protocol, where the packet is from and where it is going: "
				    "`nsbpf why tcp 10.80.0.2 203.0.113.2:80`");
	if (parse_packet(argv + 1, &question.tuple) || parse_size(size, &question))
		return EXIT_USAGE;
	if (question.established && question.tuple.proto != IPPROTO_TCP)
		return report_usage("--established is for tcp");
	if (run(from, &question, &explanation, name, &err))
		return report(&err);
	if (json_output)
		return report_json(explanation_json(&explanation, name));
	print_explanation(&explanation);
	return EXIT_DONE;
}
