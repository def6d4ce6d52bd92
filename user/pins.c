/* SPDX-License-Identifier: GPL-2.0-only */
/* Removing a host's directory from bpffs. */
#include "pins.h"

#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *where)
{
	(void)st, (void)type, (void)where;
	return remove(path);
}

int pins_remove(const char *dir)
{
	int ret = nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);

	return ret && errno == ENOENT ? 0 : ret;
}
