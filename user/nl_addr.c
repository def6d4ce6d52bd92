/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses of devices, and neighbours. */
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "nl_internal.h"

struct listing {
	int (*each)(const struct link_addr *addr, void *arg);
	void *arg;
};

#define FOREVER 0xffffffff /* INFINITY_LIFE_TIME */

static void addr_request(union nl_request *request, unsigned short type, unsigned short flags,
			 const struct link_addr *addr)
{
	struct ifaddrmsg *info = nl_request_start(request, type, flags, sizeof(*info));

	info->ifa_family = nl_family(&addr->addr);
	info->ifa_prefixlen = addr->prefix;
	info->ifa_scope = addr->scope;
	info->ifa_index = addr->ifindex;
	nl_put_addr(request, IFA_LOCAL, &addr->addr);
	nl_put_addr(request, IFA_ADDRESS, &addr->addr);
}

int addr_add(struct nl *nl, const struct link_addr *addr, bool noprefixroute)
{
	/* The kernel takes the flag from the time for which an address is preferred. */
	const struct ifa_cacheinfo deprecated = { .ifa_prefered = 0, .ifa_valid = FOREVER };
	union nl_request request;

	addr_request(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, addr);
	mnl_attr_put_u32(&request.header, IFA_FLAGS, addr->flags | (noprefixroute ? IFA_F_NOPREFIXROUTE : 0));
	if (addr->flags & IFA_F_DEPRECATED)
		mnl_attr_put(&request.header, IFA_CACHEINFO, sizeof(deprecated), &deprecated);
	if (addr->proto)
		mnl_attr_put_u8(&request.header, IFA_PROTO, addr->proto);
	return nl_talk(nl, &request, NULL, NULL);
}

int addr_delete(struct nl *nl, const struct link_addr *addr)
{
	union nl_request request;

	addr_request(&request, RTM_DELADDR, 0, addr);
	return nl_talk(nl, &request, NULL, NULL);
}

static int addr_message(const struct nlmsghdr *message, void *arg)
{
	const struct ifaddrmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[IFA_MAX + 1];
	const struct listing *listing = arg;
	struct link_addr addr = {
		.ifindex = info->ifa_index,
		.prefix = info->ifa_prefixlen,
		.scope = info->ifa_scope,
		.flags = info->ifa_flags,
	};

	if (info->ifa_family != AF_INET && info->ifa_family != AF_INET6)
		return 0;
	nl_message_attrs(message, sizeof(*info), attrs, IFA_MAX);
	/* With a peer (point-to-point), IFA_ADDRESS is the peer's; without one, IPv6 has no IFA_LOCAL. */
	addr.addr = nl_attr_addr(attrs[IFA_LOCAL] ? attrs[IFA_LOCAL] : attrs[IFA_ADDRESS]);
	if (attrs[IFA_FLAGS])
		addr.flags = mnl_attr_get_u32(attrs[IFA_FLAGS]); /* ifa_flags has the low 8 bits only */
	if (attrs[IFA_PROTO])
		addr.proto = mnl_attr_get_u8(attrs[IFA_PROTO]);
	return listing->each(&addr, listing->arg);
}

int addr_each(struct nl *nl, unsigned int ifindex, int (*each)(const struct link_addr *addr, void *arg), void *arg)
{
	struct listing listing = { each, arg };
	union nl_request request;
	struct ifaddrmsg *info;

	info = nl_request_start(&request, RTM_GETADDR, NLM_F_DUMP, sizeof(*info));
	info->ifa_index = ifindex;
	return nl_talk(nl, &request, addr_message, &listing);
}

int neigh_set(struct nl *nl, unsigned int ifindex, const struct nsbpf_addr *addr, const unsigned char mac[6])
{
	union nl_request request;
	struct ndmsg *info;

	info = nl_request_start(&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, sizeof(*info));
	info->ndm_family = nl_family(addr);
	info->ndm_ifindex = ifindex;
	info->ndm_state = NUD_PERMANENT;
	nl_put_addr(&request, NDA_DST, addr);
	mnl_attr_put(&request.header, NDA_LLADDR, 6, mac);
	return nl_talk(nl, &request, NULL, NULL);
}

struct neigh_listing {
	unsigned int ifindex;
	int (*each)(const struct neigh *neigh, void *arg);
	void *arg;
};

static int neigh_message(const struct nlmsghdr *message, void *arg)
{
	const struct ndmsg *info = mnl_nlmsg_get_payload(message);
	const struct neigh_listing *listing = arg;
	const struct nlattr *attrs[NDA_MAX + 1];
	struct neigh neigh = { .ifindex = info->ndm_ifindex, .state = info->ndm_state };

	if ((info->ndm_family != AF_INET && info->ndm_family != AF_INET6) || neigh.ifindex != listing->ifindex)
		return 0;
	nl_message_attrs(message, sizeof(*info), attrs, NDA_MAX);
	neigh.addr = nl_attr_addr(attrs[NDA_DST]);
	if (attrs[NDA_LLADDR] && mnl_attr_get_payload_len(attrs[NDA_LLADDR]) == sizeof(neigh.mac))
		memcpy(neigh.mac, mnl_attr_get_payload(attrs[NDA_LLADDR]), sizeof(neigh.mac));
	return listing->each(&neigh, listing->arg);
}

int neigh_each(struct nl *nl, unsigned int ifindex, int (*each)(const struct neigh *neigh, void *arg), void *arg)
{
	struct neigh_listing listing = { ifindex, each, arg };
	union nl_request request;

	nl_request_start(&request, RTM_GETNEIGH, NLM_F_DUMP, sizeof(struct ndmsg));
	mnl_attr_put_u32(&request.header, NDA_IFINDEX, ifindex);
	return nl_talk(nl, &request, neigh_message, &listing);
}
