/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers below /proc/sys, by paths relative to it. Of net/ they are those of the caller's network namespace. */
#ifndef NSBPF_SYSCTL_H
#define NSBPF_SYSCTL_H

#include <stdbool.h>

#define SYSCTL_PATH 128

/* 0 or -errno. */
int sysctl_read(const char *path, int *value);
int sysctl_write(const char *path, int value);
/* Is this what sysctl_write() says where /proc/sys is read-only, as it may be in a container? */
bool sysctl_is_closed(int ret);

#endif
