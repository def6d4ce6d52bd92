/* SPDX-License-Identifier: GPL-2.0-only */
/* The clsact qdisc: is there one, and is any filter left in it? */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "nl_internal.h"

static int found(const struct nlmsghdr *message, void *arg)
{
	(void)message, (void)arg;
	return 1;
}

/* An ingress qdisc would be in the same place. (Of lists of qdiscs there is only the one of all devices.) */
int clsact_exists(struct nl *nl, unsigned int ifindex)
{
	union nl_request request;
	/* Without the echo older kernels tell those who listen to changes, and not who has asked. */
	struct tcmsg *info = nl_request_start(&request, RTM_GETQDISC, NLM_F_ECHO, sizeof(*info));
	int ret;

	info->tcm_family = AF_UNSPEC;
	info->tcm_ifindex = ifindex;
	info->tcm_parent = TC_H_CLSACT;
	ret = nl_talk(nl, &request, found, NULL);
	return ret == -ENOENT ? 0 : ret;
}

static int filter_on(struct nl *nl, unsigned int ifindex, unsigned int minor)
{
	union nl_request request;
	struct tcmsg *info = nl_request_start(&request, RTM_GETTFILTER, NLM_F_DUMP, sizeof(*info));

	info->tcm_family = AF_UNSPEC;
	info->tcm_ifindex = ifindex;
	info->tcm_parent = TC_H_MAKE(TC_H_CLSACT, minor);
	return nl_talk(nl, &request, found, NULL);
}

int filter_any(struct nl *nl, unsigned int ifindex)
{
	int ret = filter_on(nl, ifindex, TC_H_MIN_INGRESS);

	return ret ? ret : filter_on(nl, ifindex, TC_H_MIN_EGRESS);
}
