/* SPDX-License-Identifier: GPL-2.0-only */
/* Directories in bpffs. */
#ifndef NSBPF_PINS_H
#define NSBPF_PINS_H

/* Removes a directory with all pins and directories in it. 0 if there is none; else -1 with errno. */
int pins_remove(const char *dir);

#endif
