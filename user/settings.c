/* SPDX-License-Identifier: GPL-2.0-only */
/* The table of settings: all that is known of one is in its row. */
#include "settings.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "addr.h"

#define HOUR 3600
#define DAY (24 * HOUR)

/* An age is the difference of two readings of a clock of 32 bits, and has a sign. */
#define MAX_IDLE (24 * DAY)
_Static_assert((__u64)MAX_IDLE *NSBPF_CLOCK_HZ < 1ULL << 31, "an idle time must not wrap");

/* Of a freed NAT port the clock has 16 bits. */
#define MAX_REST HOUR
_Static_assert((__u64)MAX_REST *NSBPF_CLOCK_HZ >> NAT_CLOCK_SHIFT < 1 << 16, "a port's rest must not wrap");

#define TIMEOUT(which) .offset = offsetof(struct settings, timeouts[which])

const struct setting all_settings[] = {
	{ .name = "timeout.tcp-syn",
	  .text = "idle TCP connection, not established yet",
	  .rfc = "RFC 5382 REQ-5",
	  TIMEOUT(CONN_TCP_SYN),
	  .initial = 240,
	  .max = MAX_IDLE,
	  .floor = 240 },
	{ .name = "timeout.tcp-established",
	  .text = "idle TCP connection",
	  .rfc = "RFC 5382 REQ-5",
	  TIMEOUT(CONN_TCP_ESTABLISHED),
	  .initial = 7440,
	  .max = MAX_IDLE,
	  .floor = 7440 },
	{ .name = "timeout.tcp-fin",
	  .text = "idle TCP connection that one side has closed",
	  .rfc = "RFC 5382 REQ-5",
	  TIMEOUT(CONN_TCP_FIN),
	  .initial = 7440,
	  .max = MAX_IDLE,
	  .floor = 240 },
	{ .name = "timeout.tcp-closing",
	  .text = "TCP connection that both sides have closed",
	  .rfc = "RFC 5382 REQ-5",
	  TIMEOUT(CONN_TCP_CLOSING),
	  .initial = 240,
	  .max = MAX_IDLE,
	  .floor = 240 },
	{ .name = "timeout.tcp-reset",
	  .text = "TCP connection after a RST",
	  .rfc = "RFC 7857 section 2.2",
	  TIMEOUT(CONN_TCP_RESET),
	  .initial = 240,
	  .max = MAX_IDLE,
	  .floor = 240 },
	{ .name = "timeout.udp",
	  .text = "idle UDP connection",
	  .rfc = "RFC 4787 REQ-5",
	  TIMEOUT(CONN_UDP),
	  .initial = 300,
	  .max = MAX_IDLE,
	  .floor = 120 },
	{ .name = "timeout.icmp",
	  .text = "idle ping",
	  .rfc = "RFC 5508 REQ-2",
	  TIMEOUT(CONN_ICMP),
	  .initial = 60,
	  .max = MAX_IDLE,
	  .floor = 60 },
	{ .name = "timeout.fragment",
	  .text = "datagram of which fragments are missing",
	  TIMEOUT(TIMEOUT_FRAGMENT),
	  .initial = 30,
	  .max = MAX_IDLE },
	{ .name = "timeout.port",
	  .text = "rest of a NAT port before another endpoint gets it",
	  .rfc = "RFC 6888 REQ-8",
	  TIMEOUT(TIMEOUT_PORT),
	  .initial = 120,
	  .max = MAX_REST,
	  .floor = 120 },
	{ .name = "inbound-refresh",
	  .text = "packets from outside keep a connection, too",
	  .rfc = "RFC 4787 REQ-6",
	  .offset = offsetof(struct settings, flags),
	  .kind = SETTING_SWITCH,
	  .off_bit = SETTING_NO_INBOUND_REFRESH,
	  .initial = true },
	{ .name = "connections",
	  .text = "connections there is room for",
	  .kind = SETTING_ROOM,
	  .offset = offsetof(struct settings, connections),
	  .least = NSBPF_MIN_CONNECTIONS,
	  .initial = NSBPF_CONNECTIONS,
	  .max = NSBPF_MAX_CONNECTIONS },
	{ .name = "max-connections",
	  .text = "connections of an endpoint without --max-connections; auto: a fair share",
	  .kind = SETTING_LIMIT,
	  .offset = offsetof(struct settings, max_connections),
	  .least = 1,
	  .max = NSBPF_MAX_CONNECTIONS },
	{ .name = "nat-ports",
	  .text = "where masquerade takes ports; auto: from 1024 on, but ip_local_port_range",
	  .kind = SETTING_PORTS,
	  .offset = offsetof(struct settings, nat_wanted),
	  .least = 1024,
	  .max = 65535 },
};

const size_t all_settings_count = sizeof(all_settings) / sizeof(all_settings[0]);

void settings_init(struct settings *settings)
{
	*settings = (struct settings){ .abi = NSBPF_ABI, .second = NSBPF_CLOCK_HZ };
	for (size_t i = 0; i < all_settings_count; i++)
		setting_put(&all_settings[i], settings, all_settings[i].initial);
}

const struct setting *setting_find(const char *name)
{
	for (size_t i = 0; i < all_settings_count; i++)
		if (!strcmp(all_settings[i].name, name))
			return &all_settings[i];
	return NULL;
}

__u32 setting_get(const struct setting *setting, const struct settings *settings)
{
	__u32 word = *(const __u32 *)((const char *)settings + setting->offset);

	return setting->off_bit ? !(word & setting->off_bit) : word;
}

void setting_put(const struct setting *setting, struct settings *settings, __u32 value)
{
	__u32 *word = (__u32 *)((char *)settings + setting->offset);

	if (setting->off_bit)
		value = value ? *word & ~setting->off_bit : *word | setting->off_bit;
	__atomic_store_n(word, value, __ATOMIC_RELAXED);
}

struct port_range setting_ports(__u32 value)
{
	struct port_range range;

	memcpy(&range, &value, sizeof(range));
	return range;
}

/* "20000-29999" */
static int parse_ports(const struct setting *setting, const char *text, unsigned long *value)
{
	const char *dash = strchr(text, '-');
	unsigned long first, last;
	char begin[8] = "";
	__u32 word;

	if (!dash || (size_t)(dash - text) >= sizeof(begin))
		return -EINVAL;
	memcpy(begin, text, dash - text);
	if (number_parse(begin, setting->least, setting->max, &first) ||
	    number_parse(dash + 1, first, setting->max, &last))
		return -EINVAL;
	memcpy(&word, &(struct port_range){ first, last }, sizeof(word));
	*value = word;
	return 0;
}

static int parse_number(const struct setting *setting, const char *text, unsigned long *number)
{
	switch (setting->kind) {
	case SETTING_SWITCH:
		*number = !strcmp(text, "on");
		return *number || !strcmp(text, "off") ? 0 : -EINVAL;
	case SETTING_TIME:
		return duration_parse(text, 1, setting->max, number);
	case SETTING_ROOM:
		return number_parse(text, setting->least, setting->max, number) || *number & (*number - 1) ? -EINVAL
													   : 0;
	case SETTING_LIMIT:
	case SETTING_PORTS:
		*number = 0;
		if (!strcmp(text, "auto"))
			return 0;
		return setting->kind == SETTING_LIMIT ? number_parse(text, setting->least, setting->max, number)
						      : parse_ports(setting, text, number);
	}
	return -EINVAL;
}

int setting_parse(const struct setting *setting, const char *text, __u32 *value)
{
	unsigned long number = setting->initial;

	if (strcmp(text, "default") && parse_number(setting, text, &number))
		return -EINVAL;
	*value = number;
	return 0;
}

const char *setting_format(const struct setting *setting, __u32 value, char text[SETTING_TEXT])
{
	const struct port_range ports = setting_ports(value);

	if (setting->kind == SETTING_SWITCH)
		snprintf(text, SETTING_TEXT, "%s", value ? "on" : "off");
	else if (setting->kind == SETTING_TIME)
		snprintf(text, SETTING_TEXT, "%us", value);
	else if (setting->kind == SETTING_ROOM)
		snprintf(text, SETTING_TEXT, "%u", value);
	else if (!value)
		snprintf(text, SETTING_TEXT, "auto");
	else if (setting->kind == SETTING_LIMIT)
		snprintf(text, SETTING_TEXT, "%u", value);
	else
		snprintf(text, SETTING_TEXT, "%u-%u", ports.first, ports.last);
	return text;
}

const char *setting_range(const struct setting *setting, char text[SETTING_TEXT])
{
	switch (setting->kind) {
	case SETTING_SWITCH:
		snprintf(text, SETTING_TEXT, "on, off or default");
		break;
	case SETTING_ROOM:
		snprintf(text, SETTING_TEXT, "a power of two from %u to %u (or default)", setting->least, setting->max);
		break;
	case SETTING_LIMIT:
		snprintf(text, SETTING_TEXT, "auto or a number from %u to %u (or default)", setting->least,
			 setting->max);
		break;
	case SETTING_PORTS:
		snprintf(text, SETTING_TEXT, "auto or a range of ports from %u to %u as 20000-29999 (or default)",
			 setting->least, setting->max);
		break;
	case SETTING_TIME:
		if (setting->max % DAY)
			snprintf(text, SETTING_TEXT, "a time from 1s to %uh (or default)", setting->max / HOUR);
		else
			snprintf(text, SETTING_TEXT, "a time from 1s to %ud (or default)", setting->max / DAY);
	}
	return text;
}
