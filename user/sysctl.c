/* SPDX-License-Identifier: GPL-2.0-only */
/* Numbers below /proc/sys. */
#include "sysctl.h"

#include <errno.h>
#include <stdio.h>

#include "cleanup.h"

static FILE *open_sysctl(const char *path, const char *mode)
{
	char full[SYSCTL_PATH + sizeof("/proc/sys/")];

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	return fopen(full, mode);
}

int sysctl_read(const char *path, int *value)
{
	_cleanup_fclose_ FILE *f = open_sysctl(path, "re");

	if (!f)
		return -errno;
	return fscanf(f, "%d", value) == 1 ? 0 : -EIO;
}

int sysctl_write(const char *path, int value)
{
	FILE *f = open_sysctl(path, "we");

	if (!f)
		return -errno;
	fprintf(f, "%d\n", value);
	return fclose(f) ? -errno : 0;
}

bool sysctl_is_closed(int ret)
{
	return ret == -EROFS || ret == -EACCES;
}
