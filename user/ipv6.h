/* SPDX-License-Identifier: GPL-2.0-only */
/* Whether this host has IPv6 to give to endpoints. */
#ifndef NSBPF_IPV6_H
#define NSBPF_IPV6_H

#define IPV6_MIN_MTU 1280 /* RFC 8200 section 5; the kernel takes IPv6 off a device that has less */

/* NULL if it has; else why not, static text to stand behind "NAME has no IPv6: ". */
const char *ipv6_missing(void);

#endif
