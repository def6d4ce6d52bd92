/* SPDX-License-Identifier: GPL-2.0-only */
/* Which ports the sockets of this network namespace hold (sock_diag), and which process a socket belongs to (/proc). */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>

#include "addr.h"
#include "cleanup.h"
#include "nl_internal.h"

#define COMM_SIZE 64 /* TASK_COMM_LEN is 16, a kernel thread's may be longer */
#define PATH_SIZE (NAME_MAX + sizeof("/comm"))

struct listing {
	int (*each)(const struct host_socket *socket, void *arg);
	void *arg;
};

static int socket_message(const struct nlmsghdr *message, void *arg)
{
	const struct inet_diag_msg *info = mnl_nlmsg_get_payload(message);
	bool is4 = info->idiag_family == AF_INET;
	const struct nlattr *attrs[INET_DIAG_MAX + 1];
	const struct listing *listing = arg;
	struct host_socket socket = {
		.addr = nl_addr(info->id.idiag_src, is4 ? sizeof(info->id.idiag_src[0]) : sizeof(info->id.idiag_src)),
		.port = ntohs(info->id.idiag_sport),
		.inode = info->idiag_inode,
	};

	if (!is4) {
		nl_message_attrs(message, sizeof(*info), attrs, INET_DIAG_MAX);
		/* A connected socket comes without the attribute; its address tells. */
		socket.v6only = attrs[INET_DIAG_SKV6ONLY] ? mnl_attr_get_u8(attrs[INET_DIAG_SKV6ONLY])
							  : !addr_is4(&socket.addr);
	}
	return listing->each(&socket, listing->arg);
}

/* Both families; `states` is a set of bits 1 << TCP_ESTABLISHED and so on. */
static int dump_sockets(struct nl *nl, int proto, unsigned int states, nl_message_fn *each, void *arg)
{
	static const unsigned char families[] = { AF_INET, AF_INET6 };
	int result = 0;

	for (unsigned int i = 0; !result && i < sizeof(families); i++) {
		struct inet_diag_req_v2 *info;
		union nl_request request;

		info = nl_request_start(&request, SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, sizeof(*info));
		info->sdiag_family = families[i];
		info->sdiag_protocol = proto;
		info->idiag_states = states;
		result = nl_talk(nl, &request, each, arg);
	}
	return result;
}

/* A connected UDP socket holds its port as well as one that waits for anybody. */
static int list_sockets(struct nl *nl, int proto, struct listing *listing)
{
	return dump_sockets(nl, proto, proto == IPPROTO_TCP ? 1U << TCP_LISTEN : ~0U, socket_message, listing);
}

int host_socket_each(int proto, int (*each)(const struct host_socket *socket, void *arg), void *arg)
{
	struct listing listing = { each, arg };
	_cleanup_nl_ struct nl *nl = NULL;
	int result = nl_open_protocol(&nl, NETLINK_SOCK_DIAG);

	return result ? result : list_sockets(nl, proto, &listing);
}

int socket_each_at(int netns_fd, int proto, int (*each)(const struct host_socket *socket, void *arg), void *arg)
{
	struct listing listing = { each, arg };
	_cleanup_nl_ struct nl *nl = NULL;
	int result = nl_open_protocol_at(&nl, NETLINK_SOCK_DIAG, netns_fd);

	return result ? result : list_sockets(nl, proto, &listing);
}

struct destroying {
	int proto;
	host_socket_fn *which;
	const void *arg;
	struct nl *nl;
};

static int destroy_message(const struct nlmsghdr *message, void *arg)
{
	const struct inet_diag_msg *found = mnl_nlmsg_get_payload(message);
	const struct destroying *d = arg;
	size_t size = found->idiag_family == AF_INET ? sizeof(found->id.idiag_dst[0]) : sizeof(found->id.idiag_dst);
	struct nsbpf_addr peer = nl_addr(found->id.idiag_dst, size);
	struct inet_diag_req_v2 *info;
	union nl_request request;
	int err;

	if (!d->which(found->id.idiag_cookie[0] | (__u64)found->id.idiag_cookie[1] << 32, &peer, found->id.idiag_dport,
		      d->arg))
		return 0;
	info = nl_request_start(&request, SOCK_DESTROY, 0, sizeof(*info));
	info->sdiag_family = found->idiag_family;
	info->sdiag_protocol = d->proto;
	info->idiag_states = ~0U;
	info->id = found->id;
	err = nl_talk(d->nl, &request, NULL, NULL);
	return err == -ENOENT ? 0 : err; /* it has ended by itself */
}

int host_socket_destroy(int proto, host_socket_fn *which, const void *arg)
{
	struct destroying d = { proto, which, arg, NULL };
	_cleanup_nl_ struct nl *nl = NULL;
	int result = nl_open_protocol(&nl, NETLINK_SOCK_DIAG);

	d.nl = nl;
	/* Of a UDP socket, TCP_ESTABLISHED says that it is connected (udp_diag). */
	if (!result)
		result = dump_sockets(nl, proto, proto == IPPROTO_TCP ? ~(1U << TCP_LISTEN) : 1U << TCP_ESTABLISHED,
				      destroy_message, &d);
	return result;
}

/* Whether a descriptor of the process is the file that the kernel calls `target` ("socket:[4711]"). */
static bool has_file(int proc, const char *pid, const char *target)
{
	_cleanup_closedir_ DIR *dir = NULL;
	char path[PATH_SIZE], link[64];
	const struct dirent *entry;
	int fd;

	snprintf(path, sizeof(path), "%s/fd", pid);
	fd = openat(proc, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return false; /* it has ended, or is not for us to see */
	dir = fdopendir(fd);
	if (!dir) {
		close(fd);
		return false;
	}
	while ((entry = readdir(dir))) {
		ssize_t size = readlinkat(fd, entry->d_name, link, sizeof(link) - 1);

		if (size < 0)
			continue;
		link[size] = '\0';
		if (!strcmp(link, target))
			return true;
	}
	return false;
}

/* A process names itself as it likes: only plain ASCII gets through, or it could send commands to the terminal. */
static void read_comm(int proc, const char *pid, char comm[COMM_SIZE])
{
	char path[PATH_SIZE];
	ssize_t size = -1;
	int fd;

	snprintf(path, sizeof(path), "%s/comm", pid);
	fd = openat(proc, path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0) {
		size = read(fd, comm, COMM_SIZE);
		close(fd);
	}
	if (size > 0)
		size--; /* the kernel's newline; others are the process's own */
	else
		size = 0;
	for (ssize_t i = 0; i < size; i++)
		if (comm[i] < ' ' || comm[i] > '~')
			comm[i] = '?';
	comm[size] = '\0';
}

int host_socket_holder(unsigned int inode, char *text, size_t size)
{
	_cleanup_closedir_ DIR *proc = opendir("/proc");
	char target[sizeof("socket:[4294967295]")];
	const struct dirent *entry;

	if (!proc)
		return -errno;
	snprintf(target, sizeof(target), "socket:[%u]", inode);
	while ((entry = readdir(proc))) {
		char comm[COMM_SIZE];

		if (!isdigit((unsigned char)entry->d_name[0]) || !has_file(dirfd(proc), entry->d_name, target))
			continue;
		read_comm(dirfd(proc), entry->d_name, comm);
		snprintf(text, size, "pid %s (%s)", entry->d_name, comm);
		return 0;
	}
	return -ENOENT;
}
