/* SPDX-License-Identifier: GPL-2.0-only */
/* The clsact qdisc: is there one, and what filters are in it? */
#include <errno.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>

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

static int filters_on(struct nl *nl, unsigned int ifindex, unsigned int minor, nl_message_fn *each, void *arg)
{
	union nl_request request;
	struct tcmsg *info = nl_request_start(&request, RTM_GETTFILTER, NLM_F_DUMP, sizeof(*info));

	info->tcm_family = AF_UNSPEC;
	info->tcm_ifindex = ifindex;
	info->tcm_parent = TC_H_MAKE(TC_H_CLSACT, minor);
	return nl_talk(nl, &request, each, arg);
}

int filter_any(struct nl *nl, unsigned int ifindex)
{
	int ret = filters_on(nl, ifindex, TC_H_MIN_INGRESS, found, NULL);

	return ret ? ret : filters_on(nl, ifindex, TC_H_MIN_EGRESS, found, NULL);
}

struct listing {
	int (*each)(const struct filter *filter, void *arg);
	void *arg;
};

static int filter_message(const struct nlmsghdr *message, void *arg)
{
	const struct tcmsg *info = mnl_nlmsg_get_payload(message);
	struct filter filter = { .priority = TC_H_MAJ(info->tcm_info) >> 16, .handle = info->tcm_handle };
	const struct nlattr *attrs[TCA_KIND + 1];
	const struct listing *listing = arg;

	/* A chain of filters is listed as one without a handle, before those in it. */
	if (!filter.handle)
		return 0;
	nl_message_attrs(message, sizeof(*info), attrs, TCA_KIND);
	if (attrs[TCA_KIND])
		strncpy(filter.kind, mnl_attr_get_str(attrs[TCA_KIND]), sizeof(filter.kind) - 1);
	return listing->each(&filter, listing->arg);
}

int filter_each(struct nl *nl, unsigned int ifindex, bool egress, int (*each)(const struct filter *filter, void *arg),
		void *arg)
{
	struct listing listing = { each, arg };
	int ret = filters_on(nl, ifindex, egress ? TC_H_MIN_EGRESS : TC_H_MIN_INGRESS, filter_message, &listing);

	return ret == -EINVAL ? 0 : ret; /* no such qdisc */
}
