/* SPDX-License-Identifier: GPL-2.0-only */
/* Which socket of the host stands in a mapping's way. */
#ifndef NSBPF_HOST_PORTS_H
#define NSBPF_HOST_PORTS_H

#include <stdbool.h>
#include <stddef.h>

#include "nsbpf/types.h"

/* 1 with "pid 812 (python3) on 0.0.0.0:5000" in text, 0 if no socket is in the way, or -errno. with6: the mapping's
 * endpoint has IPv6; else IPv6 packets to its ports are the host's. */
int host_port_holder(const struct mapping *mapping, bool with6, char *text, size_t size);

#endif
