/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The few things nsbpf asks of rtnetlink and sock_diag. No caller sees a netlink message. Every function returns 0 or
 * -errno, and leaves its outputs alone on failure.
 */
#ifndef NSBPF_NL_H
#define NSBPF_NL_H

#include <net/if.h>
#include <stdbool.h>

#include "nsbpf/types.h"

struct nl;

/* A NETLINK_ROUTE socket in the caller's network namespace. */
int nl_open(struct nl **nl);
/* The same in the namespace behind netns_fd; the caller's own namespace is unchanged on return, even on failure. */
int nl_open_at(struct nl **nl, int netns_fd);
void nl_close(struct nl *nl); /* NULL is fine */
static inline void nl_cleanup(struct nl **nl)
{
	nl_close(*nl);
}
#define _cleanup_nl_ __attribute__((cleanup(nl_cleanup)))

struct link {
	unsigned int ifindex;
	char name[IFNAMSIZ];
	char alias[256]; /* "" if none */
	unsigned int mtu;
	unsigned int flags;   /* IFF_UP, IFF_LOOPBACK, IFF_POINTOPOINT ... */
	unsigned short type;  /* ARPHRD_ETHER ... */
	unsigned char mac[6]; /* zero where the device has no 6-byte address */
	bool has_ipv6;        /* the kernel has it, and it is not switched off for the device */
	char kind[16];        /* "veth", "bridge" ...; "" for hardware */
	unsigned int xdp;     /* id of the XDP program on it; 0: none */
};

struct veth {
	unsigned int ifindex;     /* of the host end, chosen by the caller: -EEXIST or -EBUSY if it is in use */
	const char *name;         /* of the host end */
	const char *alias;        /* of the host end, may be NULL */
	const unsigned char *mac; /* of the host end */
	const char *ns_name;      /* of the other end */
	const unsigned char *ns_mac;
	int ns_fd;        /* network namespace of the other end */
	unsigned int mtu; /* of both */
};

/*
 * Makes the pair, down, the ns end directly in its namespace. The host end gets no IPv6 link-local address by itself
 * (IFLA_INET6_ADDR_GEN_MODE none), and devconf forwarding=0 for IPv4 (IFLA_INET_CONF): the stack shall forward nothing
 * that comes from it. Takes several messages; undoes the pair if a later one fails.
 */
int link_add_veth(struct nl *nl, const struct veth *veth);
int link_get(struct nl *nl, const char *name, struct link *link);           /* -ENODEV */
int link_get_index(struct nl *nl, unsigned int ifindex, struct link *link); /* -ENODEV */
/* 0 or -ENODEV, without all that the kernel would have to tell about it. */
int link_exists(struct nl *nl, unsigned int ifindex);
int link_set_up(struct nl *nl, unsigned int ifindex);
/* Of a device that may be up. */
int link_set_mtu(struct nl *nl, unsigned int ifindex, unsigned int mtu);
int link_set_mac(struct nl *nl, unsigned int ifindex, const unsigned char mac[6]);
/* net.ipv4.conf.DEVICE.forwarding */
int link_set_forwarding(struct nl *nl, unsigned int ifindex, bool on);
int link_delete(struct nl *nl, unsigned int ifindex); /* -ENODEV */
/* A callback that returns non-zero ends the listing, which then returns that value. */
int link_each(struct nl *nl, int (*each)(const struct link *link, void *arg), void *arg);

struct link_addr {
	unsigned int ifindex;
	struct nsbpf_addr addr;
	unsigned int prefix; /* of the family: 0..32 or 0..128 */
	unsigned char scope; /* RT_SCOPE_* */
	unsigned int flags;  /* IFA_F_SECONDARY ...; to add one, IFA_F_DEPRECATED as well */
	unsigned char proto; /* who made it, as a route's protocol; 0: nobody said */
};

/* `noprefixroute`: no route for the prefix is made (IFA_F_NOPREFIXROUTE). No broadcast address. -EEXIST if present. */
int addr_add(struct nl *nl, const struct link_addr *addr, bool noprefixroute);
int addr_delete(struct nl *nl, const struct link_addr *addr); /* -EADDRNOTAVAIL */
/* Of one device (-ENODEV), or with ifindex 0 of all; both families. */
int addr_each(struct nl *nl, unsigned int ifindex, int (*each)(const struct link_addr *addr, void *arg), void *arg);

struct route {
	struct nsbpf_addr dst;     /* the address as given for `prefix` 0, too: its family is the route's */
	unsigned int prefix;       /* of the family: 0..32 or 0..128 */
	struct nsbpf_addr gateway; /* all zero: none */
	struct nsbpf_addr prefsrc; /* all zero: none */
	unsigned int ifindex;      /* 0: none (unreachable) */
	unsigned int table;        /* RT_TABLE_MAIN ... */
	unsigned char type;        /* RTN_UNICAST, RTN_UNREACHABLE ... */
	unsigned char scope;       /* RT_SCOPE_LINK, RT_SCOPE_UNIVERSE ... */
	unsigned char protocol;    /* RTPROT_STATIC ... */
	unsigned int metric;
};

int route_add(struct nl *nl, const struct route *route);    /* NLM_F_CREATE|NLM_F_EXCL: -EEXIST */
int route_delete(struct nl *nl, const struct route *route); /* -ESRCH */
/* All tables of one family (AF_INET or AF_INET6); of one type, or with RTN_UNSPEC of all. A multipath route is one call
 * per hop. */
int route_each(struct nl *nl, int family, unsigned char type, int (*each)(const struct route *route, void *arg),
	       void *arg);

/* A permanent neighbour (NUD_PERMANENT); replaces one that is there. */
int neigh_set(struct nl *nl, unsigned int ifindex, const struct nsbpf_addr *addr, const unsigned char mac[6]);

struct neigh {
	unsigned int ifindex;
	struct nsbpf_addr addr;
	unsigned char mac[6]; /* zero where it is not known */
	unsigned short state; /* NUD_PERMANENT ... */
};

/* All neighbours of one device (-ENODEV), both families. */
int neigh_each(struct nl *nl, unsigned int ifindex, int (*each)(const struct neigh *neigh, void *arg), void *arg);

/* 1 if there is any tc filter in the device's clsact qdisc, 0 if there is none (or no such qdisc). */
int filter_any(struct nl *nl, unsigned int ifindex);
struct filter {
	char kind[16];         /* "bpf", "flower" ... */
	unsigned int priority; /* the lowest comes first */
	unsigned int handle;
};

/* The filters in one direction of its clsact qdisc; none if it has no such qdisc. */
int filter_each(struct nl *nl, unsigned int ifindex, bool egress, int (*each)(const struct filter *filter, void *arg),
		void *arg);
/* 1 if the device has a clsact qdisc, 0 if not. */
int clsact_exists(struct nl *nl, unsigned int ifindex);

/* A chain of nf_tables that packets come to by a hook. iptables-nft makes such, too. */
struct base_chain {
	unsigned char family; /* NFPROTO_INET ... */
	char table[32];
	char name[32];
	unsigned int hook;  /* NF_INET_LOCAL_IN ... */
	unsigned int rules; /* in it */
	bool drops;         /* its policy, for what no rule is about */
};

/* -EPROTONOSUPPORT or -EINVAL from a kernel without nf_tables. */
int base_chain_each(int (*each)(const struct base_chain *chain, void *arg), void *arg);

/* A socket that has a local port: TCP sockets in LISTEN, or bound UDP sockets, connected ones too. */
struct host_socket {
	struct nsbpf_addr addr; /* [::] is all zero, 0.0.0.0 is mapped as any other of IPv4 */
	bool v6only;            /* an AF_INET6 socket that does not serve IPv4 */
	unsigned short port;    /* host order */
	unsigned int inode;     /* as in /proc/PID/fd: socket:[inode] */
};

/* Sockets of the caller's network namespace (NETLINK_SOCK_DIAG), both families; proto is IPPROTO_TCP or IPPROTO_UDP. */
int host_socket_each(int proto, int (*each)(const struct host_socket *socket, void *arg), void *arg);
/* The same of the namespace behind netns_fd. */
int socket_each_at(int netns_fd, int proto, int (*each)(const struct host_socket *socket, void *arg), void *arg);
/* Ends connected sockets (SOCK_DESTROY: their owners see ECONNABORTED) for whose cookie and peer `which` says true.
 * Those that wait for anybody are left alone. -EOPNOTSUPP from a kernel without CONFIG_INET_DIAG_DESTROY. */
typedef bool host_socket_fn(__u64 cookie, const struct nsbpf_addr *peer, __be16 peer_port, const void *arg);
int host_socket_destroy(int proto, host_socket_fn *which, const void *arg);
/* "pid 812 (python3)", from /proc; 0, or -ENOENT if no process that can be seen has it. */
int host_socket_holder(unsigned int inode, char *text, size_t size);

#endif
