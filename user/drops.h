/* SPDX-License-Identifier: GPL-2.0-only */
/* Dropped packets by reason. */
#ifndef NSBPF_USER_DROPS_H
#define NSBPF_USER_DROPS_H

#include "host.h"
#include "nsbpf/drops.h"

const char *drop_name(enum drop_reason reason);
const char *drop_text(enum drop_reason reason);

/* Sums over all CPUs; 0 or -errno. */
int drops_read(const struct host *host, unsigned long long counts[DROP_REASONS]);

#endif
