/* SPDX-License-Identifier: GPL-2.0-only */
/* How full the tables are, and what was dropped for it. */
#include <stdio.h>

#include "doctor.h"
#include "drop_advice.h"
#include "drops.h"
#include "endpoints.h"
#include "refresh.h"

#define HIGH 80 /* percent */

static unsigned int percent(__u64 used, __u64 room)
{
	return room ? used * 100 / room : 0;
}

/* We have waited for whoever is making the table larger. */
static void look_at_growth(struct doctor *d)
{
	if (!d->host.pressure->frozen)
		return;
	doctor_say(d, LEVEL_PROBLEM, "connections", "none begins or ends: a `set connections` was killed");
	doctor_why(d, "packets that would open one are dropped (growing)");
	doctor_fix(d, "nsbpf check --repair");
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

/* The host's own range may have been changed since they were chosen. */
static void look_at_chosen_ports(struct doctor *d, struct port_range chosen)
{
	struct error err;

	if (!chosen.first || !nat_ports_check(chosen, &err))
		return;
	doctor_say(d, LEVEL_WARNING, "NAT ports", "%s", err.text);
	doctor_why(d, "where both have the same port, answers to the host's connection go to an endpoint");
	doctor_fix(d, "nsbpf set nat-ports auto");
}

static void look_at_nat_ports(struct doctor *d)
{
	const struct settings *settings = d->host.settings;
	__u64 shared = d->host.pressure->overlaps;
	unsigned int room = 0;

	for (int i = 0; i < 2; i++)
		if (settings->nat_ports[i].first <= settings->nat_ports[i].last)
			room += settings->nat_ports[i].last - settings->nat_ports[i].first + 1;
	doctor_say(d, shared ? LEVEL_WARNING : LEVEL_OK, "NAT ports", "%u in use, %u for each protocol and address",
		   d->host.usage[0].ports, room);
	if (shared) {
		doctor_why(d, "%llu connections had to share one, as none was free: only their destinations differ",
			   (unsigned long long)shared);
		doctor_fix(d, settings->nat_wanted.first ? "nsbpf set nat-ports auto"
							 : "sysctl -w net.ipv4.ip_local_port_range='50000 60999' && "
							   "nsbpf check --repair");
	}
	look_at_chosen_ports(d, settings->nat_wanted);
}

static int look_at_quota(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	struct doctor *d = arg;
	__u32 used = d->host.usage[slot].connections, own = endpoint->max_connections;
	__u32 limit = own ? own : d->host.settings->max_connections;
	char subject[NSBPF_NAME_MAX + 16];

	if (!limit || percent(used, limit) < HIGH)
		return 0;
	snprintf(subject, sizeof(subject), "endpoint %s", endpoint->name);
	doctor_say(d, LEVEL_WARNING, subject, "has %u of the %u connections that it may have", used, limit);
	doctor_why(d, "at its limit its new connections are dropped (quota), unless one of its own can give way");
	if (own)
		doctor_fix(d, "echo 'endpoints: {%s: {max-connections: %u}}' | nsbpf apply -", endpoint->name,
			   2 * limit);
	else
		doctor_fix(d, "nsbpf set max-connections %u", 2 * limit);
	return 0;
}

static void look_at_drops(struct doctor *d)
{
	unsigned long long counts[DROP_REASONS] = { 0 };
	char advice[ADVICE_TEXT];

	if (drops_read(&d->host, counts))
		return;
	for (int i = 0; i < DROP_REASONS; i++) {
		if (!counts[i])
			continue;
		doctor_say(d, LEVEL_NOTE, "drops", "%llu %s: %s", counts[i], drop_name(i), drop_text(i));
		doctor_fix(d, "%s", drop_advice(i, NULL, advice));
	}
}

void doctor_tables(struct doctor *d)
{
	look_at_growth(d);
	look_at_connections(d);
	look_at_nat_ports(d);
	endpoint_each(&d->host, look_at_quota, d);
	look_at_drops(d);
}
