/* SPDX-License-Identifier: GPL-2.0-only */
/* What a network shall be, in words: the options of `network add`, and the keys that the files of `apply` have for it.
 */
#ifndef NSBPF_NETWORK_OPTIONS_H
#define NSBPF_NETWORK_OPTIONS_H

#include "networks.h"

/* What --masquerade says of one family. */
enum masquerade_word {
	MASQUERADE_UNSAID,
	MASQUERADE_ON, /* as the host's route has it, or as an address */
	MASQUERADE_OFF,
};

/* The spec, and what it points to: not to be copied once it holds anything. */
struct network_options {
	struct network_spec spec;
	char name[NSBPF_NAME_MAX + 1];
	struct cidr subnet4, subnet6;
	struct addr_pair masquerade_addrs;
	enum masquerade_word masquerade, masquerade6;
	unsigned int mtu;
	bool isolate, full_cone;
	bool mode_said, routed;
	__u8 routed_flags;
};

/* 0, or -1 with err, of which the text begins with the key. */
int network_options_name(struct network_options *options, const char *name, struct error *err);
int network_options_know(const char *key, struct error *err);
int network_options_take(struct network_options *options, const char *key, const char *text, struct error *err);
/* What they mean together, when all are taken. `dashes` is what the keys begin with: "--", or nothing in a file. */
int network_options_settle(struct network_options *options, const char *dashes, struct error *err);

#endif
