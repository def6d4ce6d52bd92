/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The host's own sockets reach exposed ports by 127.0.0.1, ::1 and by the host's own addresses: the address is
 * exchanged when a socket connects or sends, and back when it asks whom it talks to. Nothing happens per packet of a
 * connected socket.
 */
#ifndef NSBPF_BPF_HOST_SOCKET_H
#define NSBPF_BPF_HOST_SOCKET_H

#define SOCKET_ALLOW 1
#define SOCKET_REFUSE 0 /* with the errno of bpf_set_retval() */

struct socket_address {
	struct nsbpf_addr addr;
	__be16 port;
};

static __always_inline bool host_has_address(const struct nsbpf_addr *addr)
{
	__u8 *kind;

	if (addr_is_loopback(addr))
		return true;
	if (addr_is_link_local(addr)) /* the link's own business, as it is from outside */
		return false;
	kind = bpf_map_lookup_elem(&host_addresses, addr);
	return kind && *kind != HOST_ADDRESS_BROADCAST;
}

/* Other namespaces' sockets run through these hooks as well: they hang on the cgroup root. */
static __always_inline bool is_host_socket(struct bpf_sock_addr *ctx)
{
	return bpf_get_netns_cookie(ctx) == host_netns_cookie;
}

/* A full table costs the socket its view of the address that it asked for, not its connection. */
static __always_inline void peer_remember(struct bpf_sock_addr *ctx, const struct socket_address *asked,
					  const struct socket_address *given)
{
	struct host_socket_peers first = { .proto = ctx->protocol }, *s;
	__u64 cookie = bpf_get_socket_cookie(ctx);
	struct socket_peer *peer;

	s = bpf_map_lookup_elem(&host_sockets, &cookie);
	if (!s) {
		bpf_map_update_elem(&host_sockets, &cookie, &first, BPF_NOEXIST);
		s = bpf_map_lookup_elem(&host_sockets, &cookie);
		if (!s)
			return;
	}
	for (int i = 0; i < NSBPF_SOCKET_PEERS; i++) {
		peer = &s->peers[i];
		if (peer->given_port == given->port && addr_equal(&peer->given, &given->addr)) {
			peer->asked = asked->addr;
			peer->asked_port = asked->port;
			return;
		}
	}
	peer = &s->peers[s->next++ % NSBPF_SOCKET_PEERS];
	peer->asked = asked->addr;
	peer->asked_port = asked->port;
	peer->given = given->addr;
	peer->given_port = given->port;
}

/* connect(2) takes the unspecified address for the loopback one. */
static __always_inline struct nsbpf_addr socket_target(const struct nsbpf_addr *asked)
{
	struct nsbpf_addr target = *asked;

	if (addr_is_any(asked))
		target.words[3] = bpf_htonl(1);
	else if (addr_is4(asked) && !addr_get4(asked))
		target.words[3] = bpf_htonl(0x7f000001);
	return target;
}

/*
 * Exchanges the address of a host that exposes this port for the endpoint's. False: leave it as it is. Whom the port is
 * exposed to (--from) is about others: the host's own sockets could reach the endpoint by its address in any case.
 */
static __always_inline bool exposed_target(struct bpf_sock_addr *ctx, struct socket_address *address)
{
	struct socket_address asked = { .addr = socket_target(&address->addr), .port = address->port };
	struct nsbpf_addr given;
	struct endpoint *ep;
	struct mapping *m;

	if (!is_host_socket(ctx) || !host_has_address(&asked.addr))
		return false;
	m = mapping_lookup(ctx->protocol, &asked.addr, asked.port);
	if (!m)
		return false;
	ep = endpoint_get(m->endpoint);
	if (!ep || !endpoint_address(ep, !addr_is4(&asked.addr), &given))
		return false;
	address->addr = given;
	address->port = mapping_target_port(m, asked.port);
	peer_remember(ctx, &asked, address);
	return true;
}

/* The way back: from the endpoint's address to the one that the socket asked for. */
static __always_inline bool asked_address(struct bpf_sock_addr *ctx, struct socket_address *address)
{
	struct host_socket_peers *s;
	__u64 cookie;

	if (!is_host_socket(ctx))
		return false;
	cookie = bpf_get_socket_cookie(ctx);
	s = bpf_map_lookup_elem(&host_sockets, &cookie);
	if (!s)
		return false;
	for (int i = 0; i < NSBPF_SOCKET_PEERS; i++) {
		struct socket_peer *peer = &s->peers[i];

		if (peer->given_port == address->port && addr_equal(&peer->given, &address->addr)) {
			address->addr = peer->asked;
			address->port = peer->asked_port;
			return true;
		}
	}
	return false;
}

static __always_inline void load4(struct bpf_sock_addr *ctx, struct socket_address *address)
{
	addr_set4(&address->addr, ctx->user_ip4);
	address->port = ctx->user_port;
}

static __always_inline void store4(struct bpf_sock_addr *ctx, const struct socket_address *address)
{
	ctx->user_ip4 = addr_get4(&address->addr);
	ctx->user_port = address->port;
}

/* An AF_INET6 socket that talks IPv4 gives ::ffff:a.b.c.d, which is how we write IPv4 anyway. */
static __always_inline void load6(struct bpf_sock_addr *ctx, struct socket_address *address)
{
	address->addr.words[0] = ctx->user_ip6[0];
	address->addr.words[1] = ctx->user_ip6[1];
	address->addr.words[2] = ctx->user_ip6[2];
	address->addr.words[3] = ctx->user_ip6[3];
	address->port = ctx->user_port;
}

static __always_inline void store6(struct bpf_sock_addr *ctx, const struct socket_address *address)
{
	ctx->user_ip6[0] = address->addr.words[0];
	ctx->user_ip6[1] = address->addr.words[1];
	ctx->user_ip6[2] = address->addr.words[2];
	ctx->user_ip6[3] = address->addr.words[3];
	ctx->user_port = address->port;
}

static __always_inline int to_exposed4(struct bpf_sock_addr *ctx)
{
	struct socket_address address = {};

	load4(ctx, &address);
	if (exposed_target(ctx, &address))
		store4(ctx, &address);
	return SOCKET_ALLOW;
}

static __always_inline bool is_bound_to_loopback6(const struct bpf_sock *sk)
{
	return sk && !sk->src_ip6[0] && !sk->src_ip6[1] && !sk->src_ip6[2] && sk->src_ip6[3] == bpf_htonl(1);
}

/*
 * With a loopback address of its own the socket can't reach an endpoint. IPv4's routing says EINVAL; IPv6's would let
 * the packets go, for the endpoint to throw away.
 */
static __always_inline int to_exposed6(struct bpf_sock_addr *ctx)
{
	struct socket_address address = {};

	load6(ctx, &address);
	if (!exposed_target(ctx, &address))
		return SOCKET_ALLOW;
	if (!addr_is4(&address.addr) && is_bound_to_loopback6(ctx->sk)) {
		bpf_set_retval(-EINVAL);
		return SOCKET_REFUSE;
	}
	store6(ctx, &address);
	return SOCKET_ALLOW;
}

static __always_inline int to_asked4(struct bpf_sock_addr *ctx)
{
	struct socket_address address = {};

	load4(ctx, &address);
	if (asked_address(ctx, &address))
		store4(ctx, &address);
	return SOCKET_ALLOW;
}

static __always_inline int to_asked6(struct bpf_sock_addr *ctx)
{
	struct socket_address address = {};

	load6(ctx, &address);
	if (asked_address(ctx, &address))
		store6(ctx, &address);
	return SOCKET_ALLOW;
}

SEC("cgroup/sock_release")
int host_sock_release(struct bpf_sock *ctx)
{
	__u64 cookie;

	if (bpf_get_netns_cookie(ctx) == host_netns_cookie) {
		cookie = bpf_get_socket_cookie(ctx);
		bpf_map_delete_elem(&host_sockets, &cookie);
	}
	return SOCKET_ALLOW;
}

SEC("cgroup/connect4")
int host_connect4(struct bpf_sock_addr *ctx)
{
	return to_exposed4(ctx);
}

SEC("cgroup/connect6")
int host_connect6(struct bpf_sock_addr *ctx)
{
	return to_exposed6(ctx);
}

SEC("cgroup/sendmsg4")
int host_sendmsg4(struct bpf_sock_addr *ctx)
{
	return to_exposed4(ctx);
}

SEC("cgroup/sendmsg6")
int host_sendmsg6(struct bpf_sock_addr *ctx)
{
	return to_exposed6(ctx);
}

SEC("cgroup/recvmsg4")
int host_recvmsg4(struct bpf_sock_addr *ctx)
{
	return to_asked4(ctx);
}

SEC("cgroup/recvmsg6")
int host_recvmsg6(struct bpf_sock_addr *ctx)
{
	return to_asked6(ctx);
}

SEC("cgroup/getpeername4")
int host_getpeername4(struct bpf_sock_addr *ctx)
{
	return to_asked4(ctx);
}

SEC("cgroup/getpeername6")
int host_getpeername6(struct bpf_sock_addr *ctx)
{
	return to_asked6(ctx);
}

#endif
