/* SPDX-License-Identifier: GPL-2.0-only */
/* Unique local addresses (RFC 4193) that are the same after every restart. */
#include "ula.h"

#include <linux/if_arp.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "sha1.h"

#define MACHINE_ID_DIGITS 32 /* machine-id(5) */

static bool read_machine_id(char id[MACHINE_ID_DIGITS + 1])
{
	_cleanup_fclose_ FILE *f = fopen("/etc/machine-id", "re");

	/* An image that has not been started yet says "uninitialized". */
	return f && fscanf(f, "%32s", id) == 1 && strspn(id, "0123456789abcdef") == MACHINE_ID_DIGITS;
}

struct lowest {
	unsigned int ifindex;
	unsigned char mac[6];
};

static int find_lowest(const struct link *link, void *arg)
{
	static const unsigned char none[6];
	struct lowest *lowest = arg;

	if (link->type == ARPHRD_ETHER && memcmp(link->mac, none, sizeof(none)) && link->ifindex < NSBPF_IFINDEX_BASE &&
	    (!lowest->ifindex || link->ifindex < lowest->ifindex)) {
		lowest->ifindex = link->ifindex;
		memcpy(lowest->mac, link->mac, sizeof(lowest->mac));
	}
	return 0;
}

/*
 * RFC 4193 section 3.2.2, but with what identifies the machine alone: the time of day would give another prefix at
 * every start, and there is nowhere to keep the first one.
 */
int ula_site(struct nl *nl, struct nsbpf_addr *site)
{
	char machine_id[MACHINE_ID_DIGITS + 1];
	unsigned char digest[SHA1_SIZE];
	struct lowest lowest = { 0 };
	int ret;

	if (read_machine_id(machine_id)) {
		sha1(machine_id, MACHINE_ID_DIGITS, digest);
	} else {
		ret = link_each(nl, find_lowest, &lowest);
		if (ret)
			return ret;
		sha1(lowest.mac, sizeof(lowest.mac), digest);
	}
	*site = (struct nsbpf_addr){ .bytes = { 0xfd } };
	memcpy(site->bytes + 1, digest + SHA1_SIZE - 5, 5); /* "the least significant 40 bits" */
	return 0;
}

__u16 ula_subnet_id(const char *name)
{
	unsigned char digest[SHA1_SIZE];

	sha1(name, strlen(name), digest);
	return digest[SHA1_SIZE - 2] << 8 | digest[SHA1_SIZE - 1];
}

struct cidr ula_subnet(const struct nsbpf_addr *site, __u16 id)
{
	struct cidr subnet = { .addr = *site, .prefix = ULA_SUBNET_PREFIX };

	subnet.addr.bytes[6] = id >> 8;
	subnet.addr.bytes[7] = id & 0xff;
	return subnet;
}
