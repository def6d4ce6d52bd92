/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether this host has IPv6 to give to endpoints. */
#include "ipv6.h"

#include <stddef.h>

#include "sysctl.h"

/* Whoever sets `all` has set the others. New devices take theirs from `default`; packets are routed as if they came
 * from `lo`. */
static const struct {
	const char *path;
	const char *why;
} switches[] = {
	{ "net/ipv6/conf/all/disable_ipv6", "net.ipv6.conf.all.disable_ipv6 is 1 on this host" },
	{ "net/ipv6/conf/default/disable_ipv6", "net.ipv6.conf.default.disable_ipv6 is 1 on this host" },
	{ "net/ipv6/conf/lo/disable_ipv6", "net.ipv6.conf.lo.disable_ipv6 is 1 on this host" },
};

const char *ipv6_missing(void)
{
	for (size_t i = 0; i < sizeof(switches) / sizeof(switches[0]); i++) {
		int off;

		if (sysctl_read(switches[i].path, &off))
			return "the kernel of this host has none";
		if (off)
			return switches[i].why;
	}
	return NULL;
}
