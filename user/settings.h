/* SPDX-License-Identifier: GPL-2.0-only */
/* A host's settings: what an operator may change while packets flow. */
#ifndef NSBPF_USER_SETTINGS_H
#define NSBPF_USER_SETTINGS_H

#include <stddef.h>

#include "nsbpf/types.h"

/* A time in seconds, a switch that is on (1) or off (0), or how many there is room for. */
struct setting {
	const char *name;
	const char *text;   /* one line, for people */
	const char *rfc;    /* who has something to say about it, or NULL */
	size_t offset;      /* of its word in struct settings */
	__u32 off_bit;      /* of a switch: set there while it is off. 0: the word is the value */
	__u32 least;        /* of a size: least to max, a power of two, and fixed while nsbpf runs. 0: no size */
	__u32 initial, max; /* a time is 1 to max */
	__u32 floor;        /* what the RFC asks for at least, or 0 */
};

extern const struct setting all_settings[];
extern const size_t all_settings_count;

/* What a host begins with. */
void settings_init(struct settings *settings);

const struct setting *setting_find(const char *name); /* or NULL */
__u32 setting_get(const struct setting *setting, const struct settings *settings);
/* One store, so `settings` may be in use. */
void setting_put(const struct setting *setting, struct settings *settings, __u32 value);

/* "240", "240s", "4m", "2h", "1d"; "on" or "off"; "65536"; "default": 0 or -EINVAL. */
int setting_parse(const struct setting *setting, const char *text, __u32 *value);
#define SETTING_TEXT 64
/* "240s", "on" or "65536". */
const char *setting_format(const struct setting *setting, __u32 value, char text[SETTING_TEXT]);
/* What it takes: "a time from 1s to 24d (or default)". */
const char *setting_range(const struct setting *setting, char text[SETTING_TEXT]);

#endif
