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
	  .off_bit = SETTING_NO_INBOUND_REFRESH,
	  .initial = true,
	  .max = true },
	{ .name = "connections",
	  .text = "connections there is room for",
	  .offset = offsetof(struct settings, connections),
	  .least = NSBPF_MIN_CONNECTIONS,
	  .initial = NSBPF_CONNECTIONS,
	  .max = NSBPF_MAX_CONNECTIONS },
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

int setting_parse(const struct setting *setting, const char *text, __u32 *value)
{
	unsigned long number;

	if (!strcmp(text, "default")) {
		*value = setting->initial;
		return 0;
	}
	if (setting->off_bit) {
		if (strcmp(text, "on") && strcmp(text, "off"))
			return -EINVAL;
		*value = !strcmp(text, "on");
		return 0;
	}
	if (setting->least ? number_parse(text, setting->least, setting->max, &number)
			   : duration_parse(text, 1, setting->max, &number))
		return -EINVAL;
	if (setting->least && number & (number - 1))
		return -EINVAL;
	*value = number;
	return 0;
}

const char *setting_format(const struct setting *setting, __u32 value, char text[SETTING_TEXT])
{
	if (setting->off_bit)
		snprintf(text, SETTING_TEXT, "%s", value ? "on" : "off");
	else if (setting->least)
		snprintf(text, SETTING_TEXT, "%u", value);
	else
		snprintf(text, SETTING_TEXT, "%us", value);
	return text;
}

const char *setting_range(const struct setting *setting, char text[SETTING_TEXT])
{
	if (setting->off_bit)
		snprintf(text, SETTING_TEXT, "on, off or default");
	else if (setting->least)
		snprintf(text, SETTING_TEXT, "a power of two from %u to %u (or default)", setting->least, setting->max);
	else if (setting->max % DAY)
		snprintf(text, SETTING_TEXT, "a time from 1s to %uh (or default)", setting->max / HOUR);
	else
		snprintf(text, SETTING_TEXT, "a time from 1s to %ud (or default)", setting->max / DAY);
	return text;
}
