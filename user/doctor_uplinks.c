/* SPDX-License-Identifier: GPL-2.0-only */
/* Uplinks: those on record, or those that the first command would find. */
#include <errno.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "addr.h"
#include "cleanup.h"
#include "datapath.h"
#include "doctor.h"
#include "sysctl.h"
#include "uplinks.h"

struct candidates {
	__u32 list[NSBPF_MAX_UPLINKS];
	unsigned int count;
};

static bool is_candidate(const struct candidates *c, __u32 ifindex)
{
	for (unsigned int i = 0; i < c->count; i++)
		if (c->list[i] == ifindex)
			return true;
	return false;
}

static void add_candidate(struct candidates *c, __u32 ifindex)
{
	if (!is_candidate(c, ifindex) && c->count < NSBPF_MAX_UPLINKS)
		c->list[c->count++] = ifindex;
}

static int candidate_on_record(__u32 ifindex, const struct uplink *uplink, void *arg)
{
	(void)uplink;
	add_candidate(arg, ifindex);
	return 0;
}

static int candidate_by_route(const struct route *route, void *arg)
{
	if (!route->prefix && route->ifindex)
		add_candidate(arg, route->ifindex);
	return 0;
}

static void find_candidates(struct doctor *d, struct candidates *c)
{
	if (d->host.running) {
		uplink_each(&d->host, candidate_on_record, c);
		return;
	}
	route_each(d->host.nl, AF_INET, RTN_UNICAST, candidate_by_route, c);
	route_each(d->host.nl, AF_INET6, RTN_UNICAST, candidate_by_route, c);
}

struct uplink_subject {
	struct doctor *doctor;
	const char *subject;
	const char *device;
};

static int other_program(const char *text, void *arg)
{
	const struct uplink_subject *s = arg;

	doctor_say(s->doctor, LEVEL_WARNING, s->subject, "%s sees packets before from_uplink does", text);
	doctor_why(s->doctor, "what it drops, changes or sends elsewhere does not come to nsbpf as it was");
	doctor_fix(s->doctor, "bpftool net show; tc filter show dev %s ingress", s->device);
	return 0;
}

void doctor_xdp(struct doctor *d, const char *subject, const struct link *link)
{
	if (!link->xdp)
		return;
	doctor_say(d, LEVEL_WARNING, subject, "XDP program %u on %s sees packets first", link->xdp, link->name);
	doctor_why(d, "what it drops or redirects never comes to nsbpf");
	doctor_fix(d, "ip link set dev %s xdp off", link->name);
}

/* 1 or 0, or -errno where the driver does not say. */
static int offload(const struct link *link, __u32 command, __u32 bit)
{
	_cleanup_close_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ethtool_value value = { .cmd = command };
	struct ifreq request = { .ifr_data = (void *)&value };

	memcpy(request.ifr_name, link->name, sizeof(request.ifr_name));
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &request))
		return -errno;
	return !!(value.data & bit);
}

static void look_at_offloads(struct doctor *d, const char *subject, const struct link *link)
{
	static const struct {
		__u32 command, bit;
		bool wanted;
		bool hardware; /* off is as it should be for a veth */
		const char *name, *why;
	} offloads[] = {
		{ ETHTOOL_GGRO, 1, true, true, "gro",
		  "bulk traffic comes in single packets, which takes much more CPU time" },
		{ ETHTOOL_GTSO, 1, true, false, "tso", "bulk traffic is cut into packets by the CPU" },
		{ ETHTOOL_GFLAGS, ETH_FLAG_LRO, false, false, "lro",
		  "packets that LRO has merged cannot be forwarded as they came" },
	};

	for (size_t i = 0; i < sizeof(offloads) / sizeof(offloads[0]); i++) {
		int on = offload(link, offloads[i].command, offloads[i].bit);

		if (on < 0 || on == offloads[i].wanted || (offloads[i].hardware && link->kind[0]))
			continue;
		doctor_say(d, offloads[i].wanted ? LEVEL_NOTE : LEVEL_WARNING, subject, "offload %s is %s",
			   offloads[i].name, on ? "on" : "off");
		doctor_why(d, "%s", offloads[i].why);
		doctor_fix(d, "ethtool -K %s %s %s", link->name, offloads[i].name, on ? "off" : "on");
	}
}

/* What counts is the greater one of the device's and that of all. */
static void look_at_rp_filter(struct doctor *d, const char *subject, const struct link *link)
{
	char path[SYSCTL_PATH];
	int all = 0, own = 0;

	snprintf(path, sizeof(path), "net/ipv4/conf/%s/rp_filter", link->name);
	if (sysctl_read("net/ipv4/conf/all/rp_filter", &all) || sysctl_read(path, &own))
		return;
	if (all != 1 && own != 1)
		return;
	doctor_say(d, LEVEL_NOTE, subject, "rp_filter is strict");
	doctor_why(d, "for the host's own packets only: what nsbpf forwards does not meet it");
}

static bool look_at_addresses(struct doctor *d, const char *subject, const struct link *link, char text[2 * ADDR_TEXT])
{
	struct addr_pair addresses = { 0 };
	char v6[ADDR_TEXT];

	text[0] = '\0';
	if (uplink_addresses(&d->host, link->ifindex, &addresses))
		return false;
	if (!addr_is_any(&addresses.v4))
		addr_format(&addresses.v4, text);
	if (!addr_is_any(&addresses.v6))
		sprintf(text + strlen(text), "%s%s", *text ? ", " : "", addr_format(&addresses.v6, v6));
	if (*text)
		return true;
	doctor_say(d, LEVEL_PROBLEM, subject, "has no address");
	doctor_why(d, "masquerade has no address to give to connections that leave by it");
	doctor_fix(d, "ip address add ADDRESS/PREFIX dev %s", link->name);
	return false;
}

static bool look_at_state(struct doctor *d, const char *subject, const struct link *link)
{
	if (!(link->flags & IFF_UP)) {
		doctor_say(d, LEVEL_PROBLEM, subject, "is down");
		doctor_why(d, "nothing leaves or comes in by it");
		doctor_fix(d, "ip link set %s up", link->name);
		return false;
	}
	if (!(link->flags & IFF_RUNNING)) {
		doctor_say(d, LEVEL_PROBLEM, subject, "has no carrier");
		doctor_why(d, "nothing leaves or comes in by it: look at the cable, or at the other end");
		return false;
	}
	return true;
}

static void look_at_uplink(struct doctor *d, __u32 ifindex)
{
	char subject[IFNAMSIZ + 8], addresses[2 * ADDR_TEXT];
	bool fine;
	struct link link;

	/* Gone, or by no means an uplink: told elsewhere. */
	if (link_get_index(d->host.nl, ifindex, &link) || !uplink_is_possible(&link))
		return;
	snprintf(subject, sizeof(subject), "uplink %s", link.name);
	fine = look_at_state(d, subject, &link);
	fine = look_at_addresses(d, subject, &link, addresses) && fine;
	if (fine)
		doctor_say(d, LEVEL_OK, subject, "up, %s, MTU %u", addresses, link.mtu);
	doctor_xdp(d, subject, &link);
	if (d->host.running)
		datapath_others_before(&d->host, ifindex, HOOK_FROM_UPLINK, other_program,
				       &(struct uplink_subject){ d, subject, link.name });
	look_at_offloads(d, subject, &link);
	look_at_rp_filter(d, subject, &link);
}

struct behind {
	struct doctor *doctor;
	const struct candidates *uplinks;
	struct candidates seen;
};

/* A route by a device that could be an uplink: what is behind it is reached by the host only. */
static int look_behind(const struct route *route, void *arg)
{
	struct behind *b = arg;
	unsigned int before = b->seen.count;
	struct link link;

	if (route->table != RT_TABLE_MAIN || !route->ifindex || is_candidate(b->uplinks, route->ifindex) ||
	    link_get_index(b->doctor->host.nl, route->ifindex, &link) || !uplink_is_possible(&link))
		return 0;
	add_candidate(&b->seen, route->ifindex);
	if (b->seen.count == before)
		return 0;
	doctor_say(b->doctor, LEVEL_NOTE, "uplinks", "there are routes by %s, which is no uplink", link.name);
	doctor_why(b->doctor, "endpoints do not reach what is behind it, the host does");
	doctor_fix(b->doctor, "nsbpf uplink add %s", link.name);
	return 0;
}

void doctor_uplinks(struct doctor *d)
{
	struct candidates candidates = { .count = 0 };
	struct behind behind = { .doctor = d, .uplinks = &candidates };

	find_candidates(d, &candidates);
	for (unsigned int i = 0; i < candidates.count; i++)
		look_at_uplink(d, candidates.list[i]);
	route_each(d->host.nl, AF_INET, RTN_UNICAST, look_behind, &behind);
	route_each(d->host.nl, AF_INET6, RTN_UNICAST, look_behind, &behind);
	if (candidates.count)
		return;
	doctor_say(d, LEVEL_PROBLEM, "uplinks", "there is none");
	doctor_why(d, "endpoints reach each other and the host, and nothing outside");
	doctor_fix(d, "nsbpf uplink add DEV");
}
