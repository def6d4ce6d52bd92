/* SPDX-License-Identifier: GPL-2.0-only */
/* Which chains of nf_tables packets come to. They are looked at, and never touched. */
#include "nl_internal.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <string.h>

struct listing {
	int (*each)(const struct base_chain *chain, void *arg);
	void *arg;
};

static void copy_text(const struct nlattr *attr, char *text, size_t size)
{
	if (attr)
		strncpy(text, mnl_attr_get_str(attr), size - 1);
}

static int chain_message(const struct nlmsghdr *message, void *arg)
{
	const struct nfgenmsg *info = mnl_nlmsg_get_payload(message);
	const struct nlattr *attrs[NFTA_CHAIN_USE + 1], *hook[NFTA_HOOK_HOOKNUM + 1];
	struct base_chain chain = { .family = info->nfgen_family };
	const struct listing *listing = arg;

	nl_message_attrs(message, sizeof(*info), attrs, NFTA_CHAIN_USE);
	if (!attrs[NFTA_CHAIN_HOOK])
		return 0; /* others jump to it */
	nl_attrs(mnl_attr_get_payload(attrs[NFTA_CHAIN_HOOK]), mnl_attr_get_payload_len(attrs[NFTA_CHAIN_HOOK]), hook,
		 NFTA_HOOK_HOOKNUM);
	copy_text(attrs[NFTA_CHAIN_TABLE], chain.table, sizeof(chain.table));
	copy_text(attrs[NFTA_CHAIN_NAME], chain.name, sizeof(chain.name));
	if (hook[NFTA_HOOK_HOOKNUM])
		chain.hook = ntohl(mnl_attr_get_u32(hook[NFTA_HOOK_HOOKNUM]));
	/* Nobody can jump to a base chain: all that refers to it is its rules. */
	if (attrs[NFTA_CHAIN_USE])
		chain.rules = ntohl(mnl_attr_get_u32(attrs[NFTA_CHAIN_USE]));
	if (attrs[NFTA_CHAIN_POLICY])
		chain.drops = ntohl(mnl_attr_get_u32(attrs[NFTA_CHAIN_POLICY])) == NF_DROP;
	return listing->each(&chain, listing->arg);
}

int base_chain_each(int (*each)(const struct base_chain *chain, void *arg), void *arg)
{
	struct listing listing = { each, arg };
	_cleanup_nl_ struct nl *nl = NULL;
	union nl_request request;
	struct nfgenmsg *info;
	int ret = nl_open_protocol(&nl, NETLINK_NETFILTER);

	if (ret)
		return ret;
	info = nl_request_start(&request, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETCHAIN, NLM_F_DUMP, sizeof(*info));
	info->nfgen_family = NFPROTO_UNSPEC;
	info->version = NFNETLINK_V0;
	return nl_talk(nl, &request, chain_message, &listing);
}
