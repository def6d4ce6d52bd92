/* SPDX-License-Identifier: GPL-2.0-only */
/* Network devices: making a veth pair, finding, listing, setting up and deleting devices. */
#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <string.h>
#include <sys/ioctl.h>

#include "nl_internal.h"

#define MAC_SIZE 6

struct listing {
	int (*each)(const struct link *link, void *arg);
	void *arg;
};

static struct ifinfomsg *link_request(union nl_request *request, unsigned short type, unsigned short flags,
				      unsigned int ifindex)
{
	struct ifinfomsg *info = nl_request_start(request, type, flags, sizeof(*info));

	info->ifi_index = ifindex;
	return info;
}

/* The kernel tells a device's IPv6 settings where it has IPv6. */
static bool has_ipv6(const struct nlattr *spec)
{
	const struct nlattr *families[AF_INET6 + 1], *inet6[IFLA_INET6_CONF + 1];
	__s32 off;

	nl_attrs(mnl_attr_get_payload(spec), mnl_attr_get_payload_len(spec), families, AF_INET6);
	if (!families[AF_INET6])
		return false;
	nl_attrs(mnl_attr_get_payload(families[AF_INET6]), mnl_attr_get_payload_len(families[AF_INET6]), inet6,
		 IFLA_INET6_CONF);
	if (!inet6[IFLA_INET6_CONF] ||
	    mnl_attr_get_payload_len(inet6[IFLA_INET6_CONF]) < (DEVCONF_DISABLE_IPV6 + 1) * sizeof(off))
		return false;
	memcpy(&off, (const char *)mnl_attr_get_payload(inet6[IFLA_INET6_CONF]) + DEVCONF_DISABLE_IPV6 * sizeof(off),
	       sizeof(off));
	return !off;
}

static void parse_kind(const struct nlattr *linkinfo, struct link *link)
{
	const struct nlattr *attrs[IFLA_INFO_KIND + 1];

	nl_attrs(mnl_attr_get_payload(linkinfo), mnl_attr_get_payload_len(linkinfo), attrs, IFLA_INFO_KIND);
	if (attrs[IFLA_INFO_KIND])
		strncpy(link->kind, mnl_attr_get_str(attrs[IFLA_INFO_KIND]), sizeof(link->kind) - 1);
}

static void parse_xdp(const struct nlattr *xdp, struct link *link)
{
	const struct nlattr *attrs[IFLA_XDP_PROG_ID + 1];

	nl_attrs(mnl_attr_get_payload(xdp), mnl_attr_get_payload_len(xdp), attrs, IFLA_XDP_PROG_ID);
	if (attrs[IFLA_XDP_PROG_ID])
		link->xdp = mnl_attr_get_u32(attrs[IFLA_XDP_PROG_ID]);
}

static struct link link_parse(const struct nlmsghdr *message)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[IFLA_MAX + 1];
	struct link link = { .ifindex = info->ifi_index, .flags = info->ifi_flags, .type = info->ifi_type };

	nl_message_attrs(message, sizeof(*info), attrs, IFLA_MAX);
	if (attrs[IFLA_IFNAME])
		strncpy(link.name, mnl_attr_get_str(attrs[IFLA_IFNAME]), sizeof(link.name) - 1);
	if (attrs[IFLA_IFALIAS])
		strncpy(link.alias, mnl_attr_get_str(attrs[IFLA_IFALIAS]), sizeof(link.alias) - 1);
	if (attrs[IFLA_MTU])
		link.mtu = mnl_attr_get_u32(attrs[IFLA_MTU]);
	if (attrs[IFLA_ADDRESS] && mnl_attr_get_payload_len(attrs[IFLA_ADDRESS]) == MAC_SIZE)
		memcpy(link.mac, mnl_attr_get_payload(attrs[IFLA_ADDRESS]), MAC_SIZE);
	if (attrs[IFLA_AF_SPEC])
		link.has_ipv6 = has_ipv6(attrs[IFLA_AF_SPEC]);
	if (attrs[IFLA_LINKINFO])
		parse_kind(attrs[IFLA_LINKINFO], &link);
	if (attrs[IFLA_XDP])
		parse_xdp(attrs[IFLA_XDP], &link);
	return link;
}

static int link_message(const struct nlmsghdr *message, void *arg)
{
	const struct listing *listing = arg;
	const struct link link = link_parse(message);

	return listing->each(&link, listing->arg);
}

int link_each(struct nl *nl, int (*each)(const struct link *link, void *arg), void *arg)
{
	struct listing listing = { each, arg };
	union nl_request request;

	link_request(&request, RTM_GETLINK, NLM_F_DUMP, 0);
	mnl_attr_put_u32(&request.header, IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS);
	return nl_talk(nl, &request, link_message, &listing);
}

static int link_store(const struct nlmsghdr *message, void *arg)
{
	struct link *link = arg;

	*link = link_parse(message);
	return 0;
}

int link_get(struct nl *nl, const char *name, struct link *link)
{
	union nl_request request;

	if (strlen(name) >= IFNAMSIZ)
		return -ENODEV;
	link_request(&request, RTM_GETLINK, 0, 0);
	mnl_attr_put_strz(&request.header, IFLA_IFNAME, name);
	return nl_talk(nl, &request, link_store, link);
}

int link_get_index(struct nl *nl, unsigned int ifindex, struct link *link)
{
	union nl_request request;

	if (!ifindex)
		return -ENODEV; /* the kernel takes 0 as "by name" and misses the name */
	link_request(&request, RTM_GETLINK, 0, ifindex);
	return nl_talk(nl, &request, link_store, link);
}

int link_exists(struct nl *nl, unsigned int ifindex)
{
	struct ifreq request = { .ifr_ifindex = ifindex };

	return ioctl(mnl_socket_get_fd(nl->socket), SIOCGIFNAME, &request) < 0 ? -errno : 0;
}

int link_set_up(struct nl *nl, unsigned int ifindex)
{
	union nl_request request;
	struct ifinfomsg *info;

	if (!ifindex)
		return -ENODEV;
	info = link_request(&request, RTM_SETLINK, 0, ifindex);
	info->ifi_flags = IFF_UP;
	info->ifi_change = IFF_UP;
	return nl_talk(nl, &request, NULL, NULL);
}

int link_set_mtu(struct nl *nl, unsigned int ifindex, unsigned int mtu)
{
	union nl_request request;

	link_request(&request, RTM_SETLINK, 0, ifindex);
	mnl_attr_put_u32(&request.header, IFLA_MTU, mtu);
	return nl_talk(nl, &request, NULL, NULL);
}

int link_set_mac(struct nl *nl, unsigned int ifindex, const unsigned char mac[6])
{
	union nl_request request;

	link_request(&request, RTM_SETLINK, 0, ifindex);
	mnl_attr_put(&request.header, IFLA_ADDRESS, MAC_SIZE, mac);
	return nl_talk(nl, &request, NULL, NULL);
}

int link_delete(struct nl *nl, unsigned int ifindex)
{
	union nl_request request;

	if (!ifindex)
		return -ENODEV;
	link_request(&request, RTM_DELLINK, 0, ifindex);
	return nl_talk(nl, &request, NULL, NULL);
}

static void put_veth_end(union nl_request *request, const char *name, const unsigned char *mac, unsigned int mtu)
{
	mnl_attr_put_strz(&request->header, IFLA_IFNAME, name);
	mnl_attr_put(&request->header, IFLA_ADDRESS, MAC_SIZE, mac);
	mnl_attr_put_u32(&request->header, IFLA_MTU, mtu);
}

static int create_pair(struct nl *nl, const struct veth *veth)
{
	struct nlattr *linkinfo, *data, *peer;
	union nl_request request;

	link_request(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, veth->ifindex);
	put_veth_end(&request, veth->name, veth->mac, veth->mtu);
	linkinfo = mnl_attr_nest_start(&request.header, IFLA_LINKINFO);
	mnl_attr_put_strz(&request.header, IFLA_INFO_KIND, "veth");
	data = mnl_attr_nest_start(&request.header, IFLA_INFO_DATA);
	peer = mnl_attr_nest_start(&request.header, VETH_INFO_PEER);
	mnl_nlmsg_put_extra_header(&request.header, sizeof(struct ifinfomsg));
	put_veth_end(&request, veth->ns_name, veth->ns_mac, veth->mtu);
	mnl_attr_put_u32(&request.header, IFLA_NET_NS_FD, veth->ns_fd);
	mnl_attr_nest_end(&request.header, peer);
	mnl_attr_nest_end(&request.header, data);
	mnl_attr_nest_end(&request.header, linkinfo);
	return nl_talk(nl, &request, NULL, NULL);
}

static void put_forwarding(union nl_request *request, bool on)
{
	struct nlattr *spec, *inet, *conf;

	spec = mnl_attr_nest_start(&request->header, IFLA_AF_SPEC);
	inet = mnl_attr_nest_start(&request->header, AF_INET);
	conf = mnl_attr_nest_start(&request->header, IFLA_INET_CONF);
	mnl_attr_put_u32(&request->header, IPV4_DEVCONF_FORWARDING, on);
	mnl_attr_nest_end(&request->header, conf);
	mnl_attr_nest_end(&request->header, inet);
	mnl_attr_nest_end(&request->header, spec);
}

int link_set_forwarding(struct nl *nl, unsigned int ifindex, bool on)
{
	union nl_request request;

	link_request(&request, RTM_SETLINK, 0, ifindex);
	put_forwarding(&request, on);
	return nl_talk(nl, &request, NULL, NULL);
}

/*
 * These take a message of their own: rtnl_newlink_create() passes over IFLA_IFALIAS, and newer kernels refuse an
 * IFLA_AF_SPEC for a device that does not exist yet (-EAFNOSUPPORT), as they do one inside VETH_INFO_PEER.
 */
static int configure_host_end(struct nl *nl, const struct veth *veth)
{
	union nl_request request;

	link_request(&request, RTM_SETLINK, 0, veth->ifindex);
	if (veth->alias && *veth->alias)
		mnl_attr_put_str(&request.header, IFLA_IFALIAS, veth->alias);
	put_forwarding(&request, false);
	return nl_talk(nl, &request, NULL, NULL);
}

static int disable_link_local(struct nl *nl, unsigned int ifindex)
{
	struct nlattr *spec, *inet6;
	union nl_request request;
	int err;

	link_request(&request, RTM_SETLINK, 0, ifindex);
	spec = mnl_attr_nest_start(&request.header, IFLA_AF_SPEC);
	inet6 = mnl_attr_nest_start(&request.header, AF_INET6);
	mnl_attr_put_u8(&request.header, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
	mnl_attr_nest_end(&request.header, inet6);
	mnl_attr_nest_end(&request.header, spec);
	err = nl_talk(nl, &request, NULL, NULL);
	/* A kernel without IPv6, or an MTU too small for it: no link-local address to fear either. */
	return err == -EAFNOSUPPORT ? 0 : err;
}

int link_add_veth(struct nl *nl, const struct veth *veth)
{
	int err;

	if (!veth->ifindex || strlen(veth->name) >= IFNAMSIZ || strlen(veth->ns_name) >= IFNAMSIZ)
		return -EINVAL;
	if (veth->alias && strlen(veth->alias) >= sizeof(((struct link *)0)->alias))
		return -EINVAL;
	err = create_pair(nl, veth);
	if (err)
		return err;

	err = configure_host_end(nl, veth);
	if (!err)
		err = disable_link_local(nl, veth->ifindex);
	if (err)
		link_delete(nl, veth->ifindex);
	return err;
}
