/* SPDX-License-Identifier: GPL-2.0-only */
/* What BPF and user space must decide alike: the order of the mapping table, and a connection's state. */
#ifndef NSBPF_ORDER_H
#define NSBPF_ORDER_H

#include "nsbpf/types.h"

/* Below 0, 0 or above 0. Any total order will do as long as both sides use this one, so words are compared as loaded.
 */
static inline int nsbpf_addr_compare(const struct nsbpf_addr *a, const struct nsbpf_addr *b)
{
	for (int i = 0; i < 4; i++)
		if (a->words[i] != b->words[i])
			return a->words[i] < b->words[i] ? -1 : 1;
	return 0;
}

/* How a mapping stands to a wanted (proto, addr, port): below 0, 0 or above 0; of its range only the first port counts.
 */
static inline int mapping_compare(const struct mapping *m, __u8 proto, const struct nsbpf_addr *addr, __u16 port)
{
	int order;

	if (m->proto != proto)
		return m->proto < proto ? -1 : 1;
	order = nsbpf_addr_compare(&m->addr, addr);
	if (order)
		return order;
	return m->first < port ? -1 : m->first > port;
}

static inline enum conn_state conn_state(__u8 proto, __u8 original_tcp, __u8 reply_tcp)
{
	if (proto == IPPROTO_UDP)
		return CONN_UDP;
	if (proto != IPPROTO_TCP)
		return CONN_ICMP;
	if ((original_tcp | reply_tcp) & TCP_SEEN_RST)
		return CONN_TCP_RESET;
	if (original_tcp & reply_tcp & TCP_SEEN_FIN)
		return CONN_TCP_CLOSING;
	if ((original_tcp | reply_tcp) & TCP_SEEN_FIN)
		return CONN_TCP_FIN;
	if (original_tcp & reply_tcp & TCP_SEEN_ACK)
		return CONN_TCP_ESTABLISHED;
	return CONN_TCP_SYN;
}

#endif
