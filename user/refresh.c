/* SPDX-License-Identifier: GPL-2.0-only */
/* Brings the datapath's view of the host up to date. */
#include "refresh.h"

#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "endpoints.h"
#include "forwarding.h"
#include "host_addresses.h"
#include "networks.h"
#include "uplinks.h"

static const struct port_range no_ports = { 1, 0 };

/* The two ranges that ip_local_port_range leaves free above 1023. If it leaves nothing, all from 1024 on: then only the
 * look at the host's sockets keeps them apart. */
static void nat_port_ranges(unsigned int local_first, unsigned int local_last, struct port_range ranges[2])
{
	ranges[0] = ranges[1] = no_ports;
	if (local_first > 1024)
		ranges[0] = (struct port_range){ 1024, local_first - 1 };
	if (local_last < 65535)
		ranges[1] = (struct port_range){ local_last < 1024 ? 1024 : local_last + 1, 65535 };
	if (local_first <= 1024 && local_last >= 65535)
		ranges[0] = (struct port_range){ 1024, 65535 };
}

static int read_local_ports(unsigned int *first, unsigned int *last, struct error *err)
{
	_cleanup_fclose_ FILE *f = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");

	if (!f || fscanf(f, "%u %u", first, last) != 2)
		return fail(err, EXIT_SYSTEM, "cannot read net.ipv4.ip_local_port_range");
	return 0;
}

int nat_ports_wanted(const struct host *host, struct port_range ranges[2], struct error *err)
{
	const struct port_range chosen = host->settings->nat_wanted;
	unsigned int first, last;

	if (chosen.first) {
		ranges[0] = chosen;
		ranges[1] = no_ports;
		return 0;
	}
	if (read_local_ports(&first, &last, err))
		return -1;
	nat_port_ranges(first, last, ranges);
	return 0;
}

int nat_ports_check(struct port_range range, struct error *err)
{
	unsigned int first, last;

	if (read_local_ports(&first, &last, err))
		return -1;
	if (range.first <= last && range.last >= first)
		return fail(err, EXIT_CONFLICT,
			    "cannot use ports %u-%u for NAT: the host's own connections take %u-%u "
			    "(net.ipv4.ip_local_port_range)",
			    range.first, range.last, first, last);
	return 0;
}

int refresh_nat_ports(struct host *host, struct error *err)
{
	struct port_range ranges[2];

	if (nat_ports_wanted(host, ranges, err))
		return -1;
	/* Packets take their ports from there meanwhile. */
	host->settings->nat_ports[0] = ranges[0];
	host->settings->nat_ports[1] = ranges[1];
	return 0;
}

/* Whoever switches IPv6 off flushes it. */
static int mend_ipv6(struct host *host, struct error *err)
{
	int ret = networks_mend(host, err);

	return ret > 0 ? endpoints_mend(host, err) : ret;
}

int refresh(struct host *host, struct error *err)
{
	return forwarding_lend(host, err) || refresh_nat_ports(host, err) || host_addresses_refresh(host, err) ||
			       mend_ipv6(host, err) || uplinks_refresh(host, err)
		       ? -1
		       : 0;
}
