/* SPDX-License-Identifier: GPL-2.0-only */
/* A host's settings: what an operator may change while packets flow. */
#ifndef NSBPF_USER_SETTINGS_H
#define NSBPF_USER_SETTINGS_H

#include <stddef.h>

#include "nsbpf/types.h"

/* What its value is. All are a word each. */
enum setting_kind {
	SETTING_TIME,   /* seconds, from 1 on */
	SETTING_SWITCH, /* 1: on; 0: off */
	SETTING_ROOM,   /* so many there is room for: a power of two, which only grows while nsbpf runs */
	SETTING_LIMIT,  /* how many there may be; 0: auto */
	SETTING_PORTS,  /* a struct port_range; 0: auto */
};

struct setting {
	const char *name;
	enum setting_kind kind;
	const char *text; /* one line, for people */
	const char *rfc;  /* who has something to say about it, or NULL */
	size_t offset;    /* of its word in struct settings */
	__u32 off_bit;    /* of a switch: set there while it is off. 0: the word is the value */
	__u32 least, max;
	__u32 initial;
	__u32 floor; /* what the RFC asks for at least, or 0 */
};

extern const struct setting all_settings[];
extern const size_t all_settings_count;

/* What a host begins with. */
void settings_init(struct settings *settings);

const struct setting *setting_find(const char *name); /* or NULL */
__u32 setting_get(const struct setting *setting, const struct settings *settings);
/* One store, so `settings` may be in use. */
void setting_put(const struct setting *setting, struct settings *settings, __u32 value);

struct port_range setting_ports(__u32 value); /* of SETTING_PORTS */

/* "240", "240s", "4m", "2h", "1d"; "on" or "off"; "65536"; "auto"; "20000-29999"; "default": 0 or -EINVAL. */
int setting_parse(const struct setting *setting, const char *text, __u32 *value);
#define SETTING_TEXT 96
/* "240s", "on", "65536", "auto" or "20000-29999". */
const char *setting_format(const struct setting *setting, __u32 value, char text[SETTING_TEXT]);
/* What it takes: "a time from 1s to 24d (or default)". */
const char *setting_range(const struct setting *setting, char text[SETTING_TEXT]);

#endif
