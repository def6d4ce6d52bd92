/* SPDX-License-Identifier: GPL-2.0-only */
/* Routes: adding, deleting and listing them. */
#include <errno.h>
#include <linux/rtnetlink.h>
#include <string.h>

#include "addr.h"
#include "nl_internal.h"

struct listing {
	int family;
	int (*each)(const struct route *route, void *arg);
	void *arg;
};

/* Of an IPv6 address given to an IPv4 route the kernel would take 4 bytes (validate_nla() only warns about NLA_U32). */
static bool families_fit(const struct route *route)
{
	bool is4 = addr_is4(&route->dst);

	return (addr_is_any(&route->prefsrc) || addr_is4(&route->prefsrc) == is4) &&
	       (addr_is_any(&route->gateway) || is4 || !addr_is4(&route->gateway));
}

/* RTA_VIA is how an IPv4 route names an IPv6 gateway (RFC 5549). */
static void put_gateway(union nl_request *request, const struct route *route)
{
	char bytes[sizeof(struct rtvia) + sizeof(route->gateway)];
	struct rtvia *via = (struct rtvia *)bytes;

	if (nl_family(&route->gateway) == nl_family(&route->dst)) {
		nl_put_addr(request, RTA_GATEWAY, &route->gateway);
		return;
	}
	via->rtvia_family = AF_INET6;
	memcpy(via->rtvia_addr, &route->gateway, sizeof(route->gateway));
	mnl_attr_put(&request->header, RTA_VIA, sizeof(bytes), bytes);
}

static int route_talk(struct nl *nl, unsigned short type, unsigned short flags, const struct route *route)
{
	union nl_request request;
	struct rtmsg *info;

	if (!families_fit(route))
		return -EINVAL;
	info = nl_request_start(&request, type, flags, sizeof(*info));
	info->rtm_family = nl_family(&route->dst);
	info->rtm_dst_len = route->prefix;
	info->rtm_table = RT_TABLE_UNSPEC; /* RTA_TABLE has it, in 32 bits */
	info->rtm_protocol = route->protocol;
	info->rtm_scope = route->scope;
	info->rtm_type = route->type;
	mnl_attr_put_u32(&request.header, RTA_TABLE, route->table);
	if (route->prefix)
		nl_put_addr(&request, RTA_DST, &route->dst);
	if (!addr_is_any(&route->gateway))
		put_gateway(&request, route);
	if (!addr_is_any(&route->prefsrc))
		nl_put_addr(&request, RTA_PREFSRC, &route->prefsrc);
	if (route->ifindex)
		mnl_attr_put_u32(&request.header, RTA_OIF, route->ifindex);
	if (route->metric)
		mnl_attr_put_u32(&request.header, RTA_PRIORITY, route->metric);
	return nl_talk(nl, &request, NULL, NULL);
}

int route_add(struct nl *nl, const struct route *route)
{
	return route_talk(nl, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, route);
}

int route_delete(struct nl *nl, const struct route *route)
{
	return route_talk(nl, RTM_DELROUTE, 0, route);
}

/* The gateway of a route or of one hop of it. */
static struct nsbpf_addr gateway_of(const struct nlattr **attrs)
{
	const struct nlattr *via = attrs[RTA_VIA];
	size_t header = offsetof(struct rtvia, rtvia_addr);

	if (!via || mnl_attr_get_payload_len(via) < header)
		return nl_attr_addr(attrs[RTA_GATEWAY]);
	return nl_addr((const char *)mnl_attr_get_payload(via) + header, mnl_attr_get_payload_len(via) - header);
}

static int each_hop(const struct nlattr *multipath, const struct route *route, const struct listing *listing)
{
	const struct rtnexthop *hop = mnl_attr_get_payload(multipath);
	int left = mnl_attr_get_payload_len(multipath);
	int result = 0;

	for (; !result && RTNH_OK(hop, left); left -= RTNH_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop)) {
		const struct nlattr *attrs[RTA_MAX + 1];
		struct route one = *route;

		nl_attrs(RTNH_DATA(hop), hop->rtnh_len - RTNH_LENGTH(0), attrs, RTA_MAX);
		one.gateway = gateway_of(attrs);
		one.ifindex = hop->rtnh_ifindex;
		result = listing->each(&one, listing->arg);
	}
	return result;
}

static bool rejects(unsigned char type)
{
	return type == RTN_UNREACHABLE || type == RTN_BLACKHOLE || type == RTN_PROHIBIT || type == RTN_THROW;
}

static int route_message(const struct nlmsghdr *message, void *arg)
{
	const struct rtmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[RTA_MAX + 1];
	const struct listing *listing = arg;
	struct route route = {
		.prefix = info->rtm_dst_len,
		.table = info->rtm_table,
		.type = info->rtm_type,
		.scope = info->rtm_scope,
		.protocol = info->rtm_protocol,
	};

	/*
	 * Without IPv6 in the kernel, asking for AF_INET6 dumps every family: rtnetlink_rcv_msg() falls back to
	 * PF_UNSPEC. Clones are no routes, but cached exceptions: path MTU, redirects.
	 */
	if (info->rtm_family != listing->family || info->rtm_flags & RTM_F_CLONED)
		return 0;
	nl_message_attrs(message, sizeof(*info), attrs, RTA_MAX);
	if (attrs[RTA_DST])
		route.dst = nl_attr_addr(attrs[RTA_DST]);
	else if (info->rtm_family == AF_INET)
		route.dst = addr_from4(0);
	if (attrs[RTA_TABLE])
		route.table = mnl_attr_get_u32(attrs[RTA_TABLE]);
	if (attrs[RTA_PRIORITY])
		route.metric = mnl_attr_get_u32(attrs[RTA_PRIORITY]);
	route.prefsrc = nl_attr_addr(attrs[RTA_PREFSRC]);
	if (attrs[RTA_MULTIPATH])
		return each_hop(attrs[RTA_MULTIPATH], &route, listing);
	route.gateway = gateway_of(attrs);
	if (attrs[RTA_OIF] && !rejects(route.type)) /* IPv6 gives `lo` for those */
		route.ifindex = mnl_attr_get_u32(attrs[RTA_OIF]);
	return listing->each(&route, listing->arg);
}

int route_each(struct nl *nl, int family, unsigned char type, int (*each)(const struct route *route, void *arg),
	       void *arg)
{
	struct listing listing = { family, each, arg };
	union nl_request request;
	struct rtmsg *info;

	info = nl_request_start(&request, RTM_GETROUTE, NLM_F_DUMP, sizeof(*info));
	info->rtm_family = family;
	info->rtm_type = type;
	return nl_talk(nl, &request, route_message, &listing);
}
