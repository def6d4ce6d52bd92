/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What bpf_fib_lookup() asks the host's settings for: it answers only if the input device, which is lo, has forwarding
 * switched on, in either family by itself; and it tells an IPv4 route's own MTU only with net.ipv4.ip_forward_use_pmtu
 * (ip_mtu_from_fib_result), though the kernel's forwarding always goes by it (ip_dst_mtu_maybe_forward).
 */
#include "forwarding.h"

#include <errno.h>
#include <string.h>

#include "accept_ra.h"
#include "ipv6.h"
#include "sysctl.h"

#define USE_PMTU "net/ipv4/ip_forward_use_pmtu"
#define LO_FORWARDING "net/ipv4/conf/lo/forwarding"
#define LO_FORWARDING6 "net/ipv6/conf/lo/forwarding"

/* In a container /proc/sys may be read-only: then only an MTU that the route has locked is known. */
static int lend_route_mtu(struct host *host, struct error *err)
{
	int on, ret;

	if (sysctl_read(USE_PMTU, &on))
		return fail(err, EXIT_SYSTEM, "cannot read net.ipv4.ip_forward_use_pmtu");
	if (on)
		return 0;
	/* Noted first: if we are killed in between, `down` sets to 0 what is 0. */
	host->settings->flags |= SETTING_LENT_USE_PMTU;
	ret = sysctl_write(USE_PMTU, 1);
	if (ret && !sysctl_is_closed(ret))
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.ip_forward_use_pmtu: %s", strerror(-ret));
	return 0;
}

/* Where /proc/sys is read-only, packets go by the uplink of the default route: see route_fallback(). */
static int lend_ipv6(struct host *host, struct error *err)
{
	int on, ret = accept_ra_release(host), released;

	if (!ret && (ipv6_missing() || sysctl_read(LO_FORWARDING6, &on) || on))
		return 0;
	if (!ret)
		ret = accept_ra_hold(host);
	if (!ret)
		ret = sysctl_write(LO_FORWARDING6, 1);
	released = accept_ra_release(host);
	if (!ret || sysctl_is_closed(ret))
		ret = released;
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv6.conf.lo.forwarding: %s", strerror(-ret));
	return 0;
}

/* Written only where it is off: after each write the kernel looks at all IPv6 routes. Netlink does it where /proc/sys
 * is read-only, too. */
static int lend_ipv4(struct host *host, struct error *err)
{
	int on, ret = 0;

	if (sysctl_read(LO_FORWARDING, &on) || !on)
		ret = link_set_forwarding(host->nl, LOOPBACK_IFINDEX, true);
	return ret ? fail(err, EXIT_SYSTEM, "cannot set net.ipv4.conf.lo.forwarding: %s", strerror(-ret)) : 0;
}

int forwarding_lend(struct host *host, struct error *err)
{
	return lend_ipv4(host, err) || lend_route_mtu(host, err) || lend_ipv6(host, err) ? -1 : 0;
}

static int restore_ipv4(struct host *host, struct error *err)
{
	int on, ret;

	/* As it would be without us: like every device's that nobody has set apart, what ip_forward says. */
	if (sysctl_read("net/ipv4/ip_forward", &on))
		return fail(err, EXIT_SYSTEM, "cannot read net.ipv4.ip_forward");
	ret = link_set_forwarding(host->nl, LOOPBACK_IFINDEX, on);
	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.conf.lo.forwarding: %s", strerror(-ret));
	/* Without its record the kernel's default has to do. */
	if (host->settings && !(host->settings->flags & SETTING_LENT_USE_PMTU))
		return 0;
	ret = sysctl_write(USE_PMTU, 0);
	if (ret && !sysctl_is_closed(ret))
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv4.ip_forward_use_pmtu: %s", strerror(-ret));
	return 0;
}

static int restore_ipv6(struct host *host, struct error *err)
{
	int on, now, ret = accept_ra_release(host);

	/* Written only where it differs, as the kernel forgets learned routes whenever a 1 is. */
	if (!ret && !sysctl_read("net/ipv6/conf/all/forwarding", &on) && !sysctl_read(LO_FORWARDING6, &now) &&
	    on != now)
		ret = sysctl_write(LO_FORWARDING6, on);
	if (ret && !sysctl_is_closed(ret))
		return fail(err, EXIT_SYSTEM, "cannot set net.ipv6.conf.lo.forwarding: %s", strerror(-ret));
	return 0;
}

int forwarding_restore(struct host *host, struct error *err)
{
	return restore_ipv4(host, err) || restore_ipv6(host, err) ? -1 : 0;
}
