/* SPDX-License-Identifier: GPL-2.0-only */
/* What an endpoint shall be, in words: the options of `add`, and the keys that the files of `apply` have for it. */
#ifndef NSBPF_ENDPOINT_OPTIONS_H
#define NSBPF_ENDPOINT_OPTIONS_H

#include "endpoints.h"

/* The spec, and what it points to: not to be copied once it holds anything. */
struct endpoint_options {
	struct endpoint_spec spec;
	char name[NSBPF_NAME_MAX + 1];
	char network[NSBPF_NAME_MAX + 1];
	unsigned char mac[6];
	unsigned int mtu;
	unsigned int max_connections;
	bool dns_said;
};

/* 0, or -1 with err, of which the text begins with the key. */
int endpoint_options_name(struct endpoint_options *options, const char *name, struct error *err);
int endpoint_options_know(const char *key, struct error *err);
int endpoint_options_take(struct endpoint_options *options, const char *key, const char *text, struct error *err);

#endif
