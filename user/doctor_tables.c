/* SPDX-License-Identifier: GPL-2.0-only */
/* How full the tables are, and what was dropped for it. */
#include <stdio.h>

#include "doctor.h"
#include "drops.h"
#include "endpoints.h"

#define HIGH 80 /* percent */

static unsigned int percent(__u64 used, __u64 room)
{
	return room ? used * 100 / room : 0;
}

static void look_at_connections(struct doctor *d)
{
	__u32 used = d->host.usage[0].connections, room = d->host.settings->connections;
	unsigned int full = percent(used, room);

	doctor_say(d, full >= HIGH ? LEVEL_WARNING : LEVEL_OK, "connections", "%u of %u (%u %%)", used, room, full);
	if (full < HIGH)
		return;
	doctor_why(
		d,
		"when there is room for no more, unanswered and closed ones give way, and then new ones are dropped");
	doctor_fix(d, "nsbpf set connections %u", room * 2);
}

static void look_at_nat_ports(struct doctor *d)
{
	const struct port_range *ranges = d->host.settings->nat_ports;
	__u64 shared = d->host.pressure->overlaps;
	unsigned int room = 0;

	for (int i = 0; i < 2; i++)
		if (ranges[i].first <= ranges[i].last)
			room += ranges[i].last - ranges[i].first + 1;
	doctor_say(d, shared ? LEVEL_WARNING : LEVEL_OK, "NAT ports", "%u in use, %u for each protocol and address",
		   d->host.usage[0].ports, room);
	if (!shared)
		return;
	doctor_why(d, "%llu connections had to share one, as none was free: only by their destinations they differ",
		   (unsigned long long)shared);
	doctor_fix(d, "sysctl -w net.ipv4.ip_local_port_range='40000 50000' && nsbpf check --repair");
}

static int look_at_quota(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	__u32 used = ((struct doctor *)arg)->host.usage[slot].connections;
	char subject[NSBPF_NAME_MAX + 16];
	struct doctor *d = arg;

	if (!endpoint->max_connections || percent(used, endpoint->max_connections) < HIGH)
		return 0;
	snprintf(subject, sizeof(subject), "endpoint %s", endpoint->name);
	doctor_say(d, LEVEL_WARNING, subject, "has %u of the %u connections that it may have", used,
		   endpoint->max_connections);
	doctor_why(d, "at its limit its new connections are dropped (quota), unless one of its own can give way");
	doctor_fix(d, "nsbpf del %s && nsbpf add %s --max-connections %u", endpoint->name, endpoint->name,
		   2 * endpoint->max_connections);
	return 0;
}

static void look_at_drops(struct doctor *d)
{
	unsigned long long counts[DROP_REASONS] = { 0 };

	if (drops_read(&d->host, counts))
		return;
	for (int i = 0; i < DROP_REASONS; i++) {
		if (!counts[i])
			continue;
		doctor_say(d, LEVEL_NOTE, "drops", "%llu %s: %s", counts[i], drop_name(i), drop_text(i));
		doctor_fix(d, "nsbpf monitor --drops");
	}
}

void doctor_tables(struct doctor *d)
{
	look_at_connections(d);
	look_at_nat_ports(d);
	endpoint_each(&d->host, look_at_quota, d);
	look_at_drops(d);
}
