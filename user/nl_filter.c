/* SPDX-License-Identifier: GPL-2.0-only */
/* The clsact qdisc: is there one, and is any filter left in it? */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>

#include "nl_internal.h"

static int is_clsact(const struct nlmsghdr *message, void *arg)
{
	const struct tcmsg *info = mnl_nlmsg_get_payload(message);
	const unsigned int *ifindex = arg;

	/* The dump is of all devices, whatever the request says. Ingress has the same parent, but another kind. */
	if (info->tcm_ifindex != (int)*ifindex || info->tcm_parent != TC_H_CLSACT)
		return 0;
	return 1;
}

int clsact_exists(struct nl *nl, unsigned int ifindex)
{
	union nl_request request;
	struct tcmsg *info = nl_request_start(&request, RTM_GETQDISC, NLM_F_DUMP, sizeof(*info));

	info->tcm_family = AF_UNSPEC;
	info->tcm_ifindex = ifindex;
	return nl_talk(nl, &request, is_clsact, &ifindex);
}

static int found(const struct nlmsghdr *message, void *arg)
{
	(void)message, (void)arg;
	return 1;
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
