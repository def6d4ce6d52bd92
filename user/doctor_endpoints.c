/* SPDX-License-Identifier: GPL-2.0-only */
/* What runs: is it as it should be, and what of its surroundings gets into its way? */
#include <stdio.h>
#include <string.h>

#include "check.h"
#include "doctor.h"
#include "endpoints.h"
#include "networks.h"
#include "uplinks.h"

/* As `check` says it; nobody reads more than these. */
#define MAX_FINDINGS 20

static void report_findings(struct doctor *d, const struct check *check)
{
	size_t count = check->count < MAX_FINDINGS ? check->count : MAX_FINDINGS;

	for (size_t i = 0; i < count; i++) {
		const struct finding *finding = &check->findings[i];

		doctor_say(d, finding->passes ? LEVEL_WARNING : LEVEL_PROBLEM, finding->object,
			   "%s: should be %s, is %s", finding->what, finding->should, finding->is);
		if (finding->why_not[0])
			doctor_why(d, "%s", finding->why_not);
		if (finding->passes || !finding->why_not[0])
			doctor_fix(d, "nsbpf check --repair");
	}
	if (check->count + check->more > count) {
		doctor_say(d, LEVEL_PROBLEM, "check", "%zu more differences", check->count + check->more - count);
		doctor_fix(d, "nsbpf check");
	}
}

static void look_at_state(struct doctor *d)
{
	struct check check = { .host = &d->host };
	struct error err;

	check_pins(&check);
	if (check_all(&check, &err))
		doctor_say(d, LEVEL_PROBLEM, "check", "%s", err.text);
	else if (!check.count)
		doctor_say(d, LEVEL_OK, "check", "all that nsbpf made is as it should be");
	report_findings(d, &check);
	check_free(&check);
}

struct looking {
	struct doctor *doctor;
	unsigned int too_large, without_resolver;
};

static void look_at_mtu(struct looking *l, const char *subject, const struct endpoint *endpoint)
{
	struct doctor *d = l->doctor;
	unsigned int smallest = uplinks_mtu(&d->host);

	if (endpoint->mtu <= smallest || ++l->too_large > DOCTOR_ALIKE)
		return;
	doctor_say(d, LEVEL_WARNING, subject, "MTU %u is larger than an uplink's, %u", endpoint->mtu, smallest);
	doctor_why(d,
		   "larger packets to the outside are dropped and answered with \"too big\"; some senders do not care");
	doctor_fix(d, "echo 'endpoints: {%s: {mtu: %u}}' | nsbpf apply -", endpoint->name, smallest);
}

static int look_at_endpoint(unsigned int slot, const struct endpoint *endpoint, void *arg)
{
	char subject[NSBPF_NAME_MAX + 16];
	struct looking *l = arg;
	struct doctor *d = l->doctor;
	struct link link;

	(void)slot;
	snprintf(subject, sizeof(subject), "endpoint %s", endpoint->name);
	if (endpoint->state != SLOT_READY || link_get_index(d->host.nl, endpoint->ifindex, &link))
		return 0;
	doctor_xdp(d, subject, &link);
	look_at_mtu(l, subject, endpoint);
	if (resolv_is_reachable(endpoint->name) || ++l->without_resolver > DOCTOR_ALIKE)
		return 0;
	doctor_say(d, LEVEL_WARNING, subject, "its resolv.conf names no server that it could reach");
	doctor_why(d, "127.0.0.53 and its like are the host's own: names are not resolved inside");
	doctor_fix(d, "echo 'endpoints: {%s: {dns: ADDR}}' | nsbpf apply -", endpoint->name);
	return 0;
}

void doctor_endpoints(struct doctor *d)
{
	struct looking l = { .doctor = d };

	look_at_state(d);
	endpoint_each(&d->host, look_at_endpoint, &l);
	doctor_more(d, "endpoints", l.too_large, "whose MTU is larger than an uplink's");
	doctor_more(d, "endpoints", l.without_resolver, "whose resolv.conf names no server that they could reach");
}
