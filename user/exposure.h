/* SPDX-License-Identifier: GPL-2.0-only */
/* One `expose`, in words: its ports and whom they are for. */
#ifndef NSBPF_EXPOSURE_H
#define NSBPF_EXPOSURE_H

#include "addr.h"
#include "error.h"

struct exposure {
	char endpoint[NSBPF_NAME_MAX + 1];
	struct port_spec ports;
	struct cidr sources[NSBPF_MAX_SOURCES];
	unsigned int nsources; /* 0: everybody */
};

/* 0, or -1 with err, of which the text begins with "ports" or "from". The ports come first. */
int exposure_take_ports(struct exposure *exposure, const char *text, struct error *err);
int exposure_take_source(struct exposure *exposure, const char *text, struct error *err);

/* In the order of the table of mappings (protocol, address, first port), where what overlaps stands side by side. Of
 * one protocol each. */
int exposure_compare(const struct exposure *a, const struct exposure *b);
bool exposure_overlaps(const struct exposure *a, const struct exposure *b);

/* As exposure_take_ports() takes it: "8080:80", "[2001:db8::1]:5000-5010:6000/udp". */
#define EXPOSURE_TEXT 96
const char *exposure_format(const struct exposure *exposure, char text[EXPOSURE_TEXT]);

#endif
