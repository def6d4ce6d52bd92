/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Two things that bpf_fib_lookup() asks the host's settings for: it answers only if the input device, which is lo, has
 * forwarding switched on; and it tells a route's own MTU only with net.ipv4.ip_forward_use_pmtu
 * (ip_mtu_from_fib_result), though the kernel's forwarding always goes by it (ip_dst_mtu_maybe_forward).
 */
#include "forwarding.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

#define USE_PMTU "/proc/sys/net/ipv4/ip_forward_use_pmtu"

static int read_switch(const char *path, int *on)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");

	return f && fscanf(f, "%d", on) == 1 ? 0 : -1;
}

static int write_switch(const char *path, int on)
{
	FILE *f = fopen(path, "we");

	if (!f)
		return -errno;
	fprintf(f, "%d\n", on);
	return fclose(f) ? -errno : 0;
}

/* In a container /proc/sys may be read-only: then only an MTU that the route has locked is known. */
static int lend_route_mtu(struct host *host, struct error *err)
{
	int on, ret;

	if (read_switch(USE_PMTU, &on))
		return fail(err, EXIT_SYSTEM, "cannot read net.ipv4.ip_forward_use_pmtu");
	if (on)
		return 0;
	/* Noted first: if we are killed in between, `down` sets to 0 what is 0. */
	host->settings->flags |= SETTING_LENT_USE_PMTU;
	ret = write_switch(USE_PMTU, 1);
	if (ret && ret != -EROFS && ret != -EACCES)
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.ip_forward_use_pmtu: %s", strerror(-ret));
	return 0;
}

int forwarding_lend(struct host *host, struct error *err)
{
	int ret = link_set_forwarding(host->nl, LOOPBACK_IFINDEX, true);

	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.conf.lo.forwarding: %s", strerror(-ret));
	return lend_route_mtu(host, err);
}

int forwarding_restore(struct host *host, struct error *err)
{
	int on, ret;

	/* As it would be without us: like every device's that nobody has set apart, what ip_forward says. */
	if (read_switch("/proc/sys/net/ipv4/ip_forward", &on))
		return fail(err, EXIT_SYSTEM, "cannot read net.ipv4.ip_forward");
	ret = link_set_forwarding(host->nl, LOOPBACK_IFINDEX, on);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.conf.lo.forwarding: %s", strerror(-ret));
	/* Without its record the kernel's default has to do. */
	if (host->settings && !(host->settings->flags & SETTING_LENT_USE_PMTU))
		return 0;
	ret = write_switch(USE_PMTU, 0);
	if (ret && ret != -EROFS && ret != -EACCES)
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.ip_forward_use_pmtu: %s", strerror(-ret));
	return 0;
}
