/* SPDX-License-Identifier: GPL-2.0-only */
/* Netlink sockets: opening one, a request and its answers, and the attributes in them. */
#include "nl_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "addr.h"
#include "cleanup.h"

#define DUMP_TRIES 20
/* netlink_dump() fills what the reader offers, up to 32 KiB; one answer is never longer with the filters used here */
#define DATAGRAM_SIZE 32768

struct answers {
	char *data;
	size_t size; /* bytes in use, whole messages */
	size_t room;
};

int nl_open_protocol(struct nl **nl, int protocol)
{
	struct nl *new = calloc(1, sizeof(*new));

	if (!new)
		return -ENOMEM;
	new->socket = mnl_socket_open2(protocol, SOCK_CLOEXEC);
	if (!new->socket || mnl_socket_bind(new->socket, 0, MNL_SOCKET_AUTOPID) < 0) {
		int err = -errno;

		nl_close(new);
		return err;
	}
	*nl = new;
	return 0;
}

/* Strict checking is what makes the kernel heed what a request for a list says about the entries that are wanted. */
int nl_open(struct nl **nl)
{
	struct nl *new;
	int err = nl_open_protocol(&new, NETLINK_ROUTE), on = 1;

	if (err)
		return err;
	if (mnl_socket_setsockopt(new->socket, NETLINK_GET_STRICT_CHK, &on, sizeof(on)) < 0) {
		err = -errno;
		nl_close(new);
		return err;
	}
	*nl = new;
	return 0;
}

int nl_open_protocol_at(struct nl **nl, int protocol, int netns_fd)
{
	_cleanup_close_ int own = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	int err;

	if (own < 0)
		return -errno;
	/* The first changes nothing, but if we are not allowed to come back, it fails while that does no harm. */
	if (setns(own, CLONE_NEWNET) < 0 || setns(netns_fd, CLONE_NEWNET) < 0)
		return -errno;
	err = protocol == NETLINK_ROUTE ? nl_open(nl) : nl_open_protocol(nl, protocol);
	/* All that follows would happen to the wrong namespace: better to end. */
	if (setns(own, CLONE_NEWNET) < 0)
		abort();
	return err;
}

int nl_open_at(struct nl **nl, int netns_fd)
{
	return nl_open_protocol_at(nl, NETLINK_ROUTE, netns_fd);
}

void nl_close(struct nl *nl)
{
	if (!nl)
		return;
	if (nl->socket)
		mnl_socket_close(nl->socket);
	free(nl);
}

void *nl_request_start(union nl_request *request, unsigned short type, unsigned short flags, size_t size)
{
	mnl_nlmsg_put_header(request);
	request->header.nlmsg_type = type;
	request->header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
	return mnl_nlmsg_put_extra_header(&request->header, size);
}

/* One datagram, behind the answers that are there already. Returns its length, or -errno. */
static ssize_t receive(struct nl *nl, struct answers *answers)
{
	ssize_t received;

	if (answers->room - answers->size < DATAGRAM_SIZE) {
		size_t room = answers->room * 2 + DATAGRAM_SIZE;
		char *data = realloc(answers->data, room);

		if (!data)
			return -ENOMEM;
		answers->data = data;
		answers->room = room;
	}
	do {
		received = mnl_socket_recvfrom(nl->socket, answers->data + answers->size, DATAGRAM_SIZE);
	} while (received < 0 && errno == EINTR);
	return received < 0 ? -errno : received;
}

/* The errno in the payload of an NLMSG_ERROR (0: an acknowledgement) or of the NLMSG_DONE of a dump. */
static int final_error(const struct nlmsghdr *message)
{
	int err;

	if (mnl_nlmsg_get_payload_len(message) < sizeof(err))
		return message->nlmsg_type == NLMSG_DONE ? 0 : -EBADMSG;
	memcpy(&err, mnl_nlmsg_get_payload(message), sizeof(err));
	return err > 0 ? -EBADMSG : err;
}

/* Asks once. A dump is read to its end even if it was interrupted, or the kernel would refuse the next (-EBUSY). */
static int ask(struct nl *nl, union nl_request *request, struct answers *answers)
{
	bool interrupted = false;

	request->header.nlmsg_seq = ++nl->seq;
	answers->size = 0;
	if (mnl_socket_sendto(nl->socket, request, request->header.nlmsg_len) < 0)
		return -errno;
	for (;;) {
		ssize_t received = receive(nl, answers);
		const struct nlmsghdr *message;
		int left;

		if (received < 0)
			return received;
		message = (const void *)(answers->data + answers->size);
		for (left = received; mnl_nlmsg_ok(message, left); message = mnl_nlmsg_next(message, &left)) {
			if (message->nlmsg_seq != nl->seq)
				continue; /* left over from a request whose answers could not all be read */
			if (message->nlmsg_flags & NLM_F_DUMP_INTR)
				interrupted = true;
			if (message->nlmsg_type == NLMSG_ERROR || message->nlmsg_type == NLMSG_DONE) {
				int err = final_error(message);

				answers->size = (const char *)message - answers->data;
				return !err && interrupted ? -EAGAIN : err;
			}
		}
		answers->size += MNL_ALIGN(received);
	}
}

static int talk(struct nl *nl, union nl_request *request, struct answers *answers, nl_message_fn *each, void *arg)
{
	const struct nlmsghdr *message;
	unsigned int seq;
	int left, result = -EAGAIN;

	for (int try = 0; try < DUMP_TRIES && result == -EAGAIN; try++)
		result = ask(nl, request, answers);
	if (result || !each)
		return result;

	seq = nl->seq; /* each() may use the socket */
	left = answers->size;
	for (message = (const void *)answers->data; !result && mnl_nlmsg_ok(message, left);
	     message = mnl_nlmsg_next(message, &left))
		if (message->nlmsg_seq == seq && message->nlmsg_type >= NLMSG_MIN_TYPE)
			result = each(message, arg);
	return result;
}

int nl_talk(struct nl *nl, union nl_request *request, nl_message_fn *each, void *arg)
{
	struct answers answers = { 0 };
	int result = talk(nl, request, &answers, each, arg);

	free(answers.data);
	return result;
}

void nl_attrs(const void *payload, size_t size, const struct nlattr **attrs, unsigned int max)
{
	const char *end = (const char *)payload + size;
	const struct nlattr *attr;

	memset(attrs, 0, (max + 1) * sizeof(*attrs));
	for (attr = payload; mnl_attr_ok(attr, end - (const char *)attr); attr = mnl_attr_next(attr)) {
		if (mnl_attr_get_type(attr) <= max)
			attrs[mnl_attr_get_type(attr)] = attr;
	}
}

void nl_message_attrs(const struct nlmsghdr *message, size_t header, const struct nlattr **attrs, unsigned int max)
{
	nl_attrs(mnl_nlmsg_get_payload_offset(message, header), mnl_nlmsg_get_payload_len(message) - MNL_ALIGN(header),
		 attrs, max);
}

unsigned char nl_family(const struct nsbpf_addr *addr)
{
	return addr_is4(addr) ? AF_INET : AF_INET6;
}

void nl_put_addr(union nl_request *request, unsigned short type, const struct nsbpf_addr *addr)
{
	if (addr_is4(addr))
		mnl_attr_put_u32(&request->header, type, addr_to4(addr));
	else
		mnl_attr_put(&request->header, type, sizeof(addr->bytes), addr->bytes);
}

struct nsbpf_addr nl_addr(const void *bytes, size_t size)
{
	struct nsbpf_addr addr = { 0 };
	__be32 addr4;

	if (size == sizeof(addr4)) {
		memcpy(&addr4, bytes, sizeof(addr4));
		return addr_from4(addr4);
	}
	if (size == sizeof(addr.bytes))
		memcpy(addr.bytes, bytes, sizeof(addr.bytes));
	return addr;
}

struct nsbpf_addr nl_attr_addr(const struct nlattr *attr)
{
	if (!attr)
		return (struct nsbpf_addr){ 0 };
	return nl_addr(mnl_attr_get_payload(attr), mnl_attr_get_payload_len(attr));
}
