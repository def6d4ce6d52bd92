/* SPDX-License-Identifier: GPL-2.0-only */
/* The host's own forwarding settings that bpf_fib_lookup() goes by: lent while nsbpf runs, given back by `down`. */
#ifndef NSBPF_FORWARDING_H
#define NSBPF_FORWARDING_H

#include "host.h"

int forwarding_lend(struct host *host, struct error *err);
int forwarding_restore(struct host *host, struct error *err);

#endif
