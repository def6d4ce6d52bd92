/* SPDX-License-Identifier: GPL-2.0-only */
/* The host: what nsbpf borrows from it, and what the datapath knows of it. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "check_internal.h"
#include "datapath.h"
#include "forwarding.h"
#include "host_addresses.h"
#include "ipv6.h"
#include "refresh.h"
#include "sysctl.h"

/* In a container /proc/sys may be read-only: then it was not borrowed, and packets are routed without it. */
static bool is_lent(const char *path)
{
	char full[SYSCTL_PATH + sizeof("/proc/sys/")];
	int value;

	snprintf(full, sizeof(full), "/proc/sys/%s", path);
	return sysctl_read(path, &value) || value || access(full, W_OK);
}

static void check_lent(struct check *check, const char *path)
{
	struct error err;

	if (!is_lent(path) && check_differs(check, path, "1", "0"))
		check_outcome_of(check, forwarding_lend(check->host, &err), &err);
}

static void format_ranges(const struct port_range ranges[2], char *text, size_t size)
{
	size_t used = 0;

	text[0] = '\0';
	for (int i = 0; i < 2; i++)
		if (ranges[i].first <= ranges[i].last && used < size)
			used += snprintf(text + used, size - used, "%s%u-%u", used ? ", " : "", ranges[i].first,
					 ranges[i].last);
}

static int check_nat_ports(struct check *check, struct error *err)
{
	char should[CHECK_TEXT], is[CHECK_TEXT];
	struct port_range wanted[2];
	struct error failure;

	if (nat_ports_wanted(check->host, wanted, err))
		return -1;
	if (!memcmp(wanted, check->host->settings->nat_ports, sizeof(wanted)))
		return 0;
	format_ranges(wanted, should, sizeof(should));
	format_ranges(check->host->settings->nat_ports, is, sizeof(is));
	if (check_differs(check, "NAT ports", should, "%s", is))
		check_outcome_of(check, refresh(check->host, &failure), &failure);
	return 0;
}

struct address_texts {
	const struct host *host;
	char missing[CHECK_TEXT / 2], gone[CHECK_TEXT / 2];
};

static int is_gateway(unsigned int slot, const struct network *network, void *arg)
{
	struct nsbpf_addr gateway4 = addr_from4(network->gateway4);

	(void)slot;
	return addr_equal(&gateway4, arg) || addr_equal(&network->gateway6, arg);
}

/* One of each kind is enough to be named. Link-local ones matter to nothing in the datapath. A gateway stays known when
 * its last endpoint goes, until the next refresh. */
static int note_address(const struct nsbpf_addr *addr, bool missing, void *arg)
{
	struct address_texts *texts = arg;
	struct nsbpf_addr copy = *addr;

	if (IN6_IS_ADDR_LINKLOCAL(addr))
		return 0;
	if (missing)
		addr_format(addr, texts->missing);
	else if (!network_each(texts->host, is_gateway, &copy))
		addr_format(addr, texts->gone);
	return 0;
}

static int check_addresses(struct check *check, struct error *err)
{
	struct address_texts texts = { .host = check->host };
	struct error failure;
	bool mend;
	int ret = host_addresses_differing(check->host, note_address, &texts);

	if (ret)
		return fail(err, EXIT_SYSTEM, "cannot compare the host's addresses: %s", strerror(-ret));
	if (!texts.missing[0] && !texts.gone[0])
		return 0;
	mend = check_differs(check, "addresses in the datapath", "the host's", "%s%s%s%s%s",
			     texts.missing[0] ? "without " : "", texts.missing,
			     texts.missing[0] && texts.gone[0] ? ", " : "", texts.gone[0] ? "with " : "", texts.gone);
	check_passes(check);
	if (mend)
		check_outcome_of(check, host_addresses_refresh(check->host, &failure), &failure);
	return 0;
}

static void check_socket_hooks(struct check *check)
{
	char missing[CHECK_TEXT] = "";
	struct error err;
	const char *name;

	if (!(check->host->settings->features & FEATURE_HOST_SOCKETS))
		return;
	for (size_t i = 0; (name = datapath_socket_hook(i)); i++) {
		size_t length = strlen(missing);

		if (!datapath_has_socket_hook(check->host->dir, name))
			snprintf(missing + length, sizeof(missing) - length, "%s%s", length ? ", " : "without ", name);
	}
	if (missing[0] &&
	    check_differs(check, "hooks of its sockets", "attached to the root of cgroup2", "%s", missing))
		check_outcome_of(check, datapath_mend_socket_hooks(check->host, &err), &err);
}

int check_host(struct check *check, struct error *err)
{
	check_object(check, "host");
	check_lent(check, "net/ipv4/conf/lo/forwarding");
	check_lent(check, "net/ipv4/ip_forward_use_pmtu");
	if (!ipv6_missing())
		check_lent(check, "net/ipv6/conf/lo/forwarding");
	check_socket_hooks(check);
	return check_nat_ports(check, err) || check_addresses(check, err) ? -1 : 0;
}
