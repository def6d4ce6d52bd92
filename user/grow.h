/* SPDX-License-Identifier: GPL-2.0-only */
/* Making room for more connections while packets flow. */
#ifndef NSBPF_GROW_H
#define NSBPF_GROW_H

#include "host.h"

/* Room for so many, more than there is: every connection goes on. Needs the lock and a host that runs. */
int host_grow(struct host *host, __u32 connections, struct error *err);

/* A command was killed while it did that: puts things back, or goes on, so that there is one whole table. What is left
 * of it that can't be used is removed. Needs the lock and a host that runs. */
int host_grow_recover(struct host *host, struct error *err);

#endif
