/* SPDX-License-Identifier: GPL-2.0-only */
/* `nsbpf top` on a terminal. */
#ifndef NSBPF_TOP_SCREEN_H
#define NSBPF_TOP_SCREEN_H

#include "top.h"

/* Shows it until somebody quits. 0, or -1 with err: it is no terminal for this, or nothing could be read. */
int top_screen(struct top *top, double seconds, struct error *err);

#endif
