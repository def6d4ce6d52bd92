/* SPDX-License-Identifier: GPL-2.0-only */
/* /etc/netns/NAME/resolv.conf: what resolvers a namespace gets. */
#ifndef NSBPF_RESOLV_H
#define NSBPF_RESOLV_H

#include <stdbool.h>

#include "addr.h"

#define RESOLV_MAX_SERVERS 8

struct resolvers {
	struct nsbpf_addr servers[RESOLV_MAX_SERVERS];
	unsigned int nservers;
	char search[512];  /* "" or the rest of the `search`/`domain` line */
	char options[256]; /* "" or the rest of the `options` line */
};

/*
 * The host's real upstream resolvers: /etc/resolv.conf as the caller sees it; where that names only loopback addresses
 * (127.0.0.53 of systemd-resolved, dnsmasq, unbound), the first of /run/systemd/resolve/resolv.conf,
 * /run/NetworkManager/resolv.conf, /run/NetworkManager/no-stub-resolv.conf, /run/resolvconf/resolv.conf,
 * /var/run/dnsmasq/resolv.conf that names any other. Loopback addresses are always left out, IPv6 link-local ones (with
 * %zone) too. 0 even if nservers ends up 0 (none is known); -errno if memory or reading fails.
 */
int resolv_upstream(struct resolvers *resolvers);
/* The same with every path prefixed by `root`, for the tests. */
int resolv_upstream_at(const char *root, struct resolvers *resolvers);

/* Is there an /etc/netns/NAME/resolv.conf that nsbpf did not write? Its own may be older than the last reboot. */
bool resolv_is_foreign(const char *name);
/* Is there a server in the namespace's resolv.conf, which is the host's if it has none of its own, that it could reach?
 */
bool resolv_is_reachable(const char *name);
/* Does the file say just what resolv_write() would? */
bool resolv_matches(const char *name, const struct resolvers *resolvers);
/* What the file says, whoever wrote it; nothing if there is none. 0 or -errno. */
int resolv_read(const char *name, struct resolvers *resolvers);
/*
 * Writes /etc/netns/NAME/resolv.conf (as process 1 sees /etc; mode 0644, directories 0755; a temporary file is written
 * and then linked, so it appears whole or not at all). -EEXIST, and nothing is touched, if there is one already.
 */
int resolv_write(const char *name, const struct resolvers *resolvers);
/* Removes the file, then /etc/netns/NAME and /etc/netns if they are empty. A missing file is no error. */
int resolv_remove(const char *name);

#endif
