/* SPDX-License-Identifier: GPL-2.0-only */
/* How many connections there are, of each kind. */
#ifndef NSBPF_CONNECTION_COUNTS_H
#define NSBPF_CONNECTION_COUNTS_H

#include <jansson.h>

#include "host.h"

/* "nsbpf -j conntrack stats" of docs/json.md; all 0 where nothing runs. 0, or -1 with err. */
int connection_counts(struct host *host, json_t **json, struct error *err);

#endif
