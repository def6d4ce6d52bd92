/* SPDX-License-Identifier: GPL-2.0-only */
/* Changing a setting, with all that follows from it. */
#ifndef NSBPF_SETTINGS_CHANGE_H
#define NSBPF_SETTINGS_CHANGE_H

#include "host.h"
#include "settings.h"

/* Needs the lock. 1 if done, 0 if already so, -1 with err. Where nothing runs, only SETTING_ROOM can be set, which
 * begins a host: use host_finish(). */
int setting_change(struct host *host, const struct setting *setting, __u32 value, struct error *err);

#endif
