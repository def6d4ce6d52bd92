/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses, prefixes, MACs, times and port specifications: text to numbers and back. All strict, none prints. */
#ifndef NSBPF_ADDR_H
#define NSBPF_ADDR_H

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>

#include "nsbpf/types.h"

struct error;

#define ADDR_TEXT INET6_ADDRSTRLEN /* "192.0.2.1" or "2001:db8::1" */
#define CIDR_TEXT (INET6_ADDRSTRLEN + 4)
#define MAC_TEXT 18

/* Prefix lengths in a struct cidr are of the 128-bit mapped form: 10.0.0.0/8 has 104. */
struct cidr {
	struct nsbpf_addr addr; /* host bits kept as given */
	unsigned int prefix;
};

struct nsbpf_addr addr_from4(__be32 addr4);
bool addr_is4(const struct nsbpf_addr *addr);           /* IPv4-mapped */
bool addr_is_any(const struct nsbpf_addr *addr);        /* all 16 bytes zero */
bool addr_is_loopback(const struct nsbpf_addr *addr);   /* 127.0.0.0/8 or ::1 */
bool addr_is_link_local(const struct nsbpf_addr *addr); /* 169.254.0.0/16 or fe80::/10 */
__be32 addr_to4(const struct nsbpf_addr *addr);
bool addr_equal(const struct nsbpf_addr *a, const struct nsbpf_addr *b);

/* 0, or -EINVAL for anything but one whole dotted-quad or IPv6 address (no zone, no prefix, no brackets). */
int addr_parse(const char *text, struct nsbpf_addr *addr);
const char *addr_format(const struct nsbpf_addr *addr, char text[ADDR_TEXT]);

/* One address of each family at most; all zero is none. */
struct addr_pair {
	struct nsbpf_addr v4; /* mapped */
	struct nsbpf_addr v6;
};

/* "A", "A6", or both with a comma between them, in any order. -EINVAL for anything else, for "::" too. */
int addr_pair_parse(const char *text, struct addr_pair *pair);

/* "10.0.0.0/8", "2001:db8::/32"; without a slash a host prefix. -EINVAL for anything else. */
int cidr_parse(const char *text, struct cidr *cidr);
/* Prints the family's own prefix length: "10.0.0.0/8". */
const char *cidr_format(const struct cidr *cidr, char text[CIDR_TEXT]);
bool cidr_has_host_bits(const struct cidr *cidr);
/* Of one family only: no IPv4 address is in an IPv6 prefix, not even in ::/0. */
bool cidr_contains(const struct cidr *cidr, const struct nsbpf_addr *addr);
bool cidr_overlaps(const struct cidr *a, const struct cidr *b);
struct nsbpf_addr cidr_mask(unsigned int prefix);
/* The address with this number in the prefix, which has no host bits and room for it. */
struct nsbpf_addr cidr_nth(const struct cidr *cidr, __u32 number);
/* The highest number that a host may have: not the broadcast address's; of more than 32 bits, the highest of 32. */
__u32 cidr_last(const struct cidr *cidr);
/* May a host have it? Neither the subnet's own address (in IPv6, that of any router) nor the broadcast address. */
bool cidr_has_host(const struct cidr *cidr, const struct nsbpf_addr *addr);

/* "02:00:5e:10:00:01"; -EINVAL for other spellings, for multicast and for all-zero MACs. */
int mac_parse(const char *text, unsigned char mac[6]);
const char *mac_format(const unsigned char mac[6], char text[MAC_TEXT]);

/* A decimal number from min to max with nothing before or behind it: 0, or -EINVAL. */
int number_parse(const char *text, unsigned long min, unsigned long max, unsigned long *number);

/* The same for seconds, with s, m, h or d behind the number or nothing: "240", "4m". */
int duration_parse(const char *text, unsigned long min, unsigned long max, unsigned long *seconds);

/* 0, or -EINVAL. A name is 1 to NSBPF_NAME_MAX bytes of [A-Za-z0-9_.-], and neither "." nor ".." nor begins with '-'.
 */
int name_check(const char *name);
/* Copies a name that is one; EXIT_USAGE in err if it is none. */
int name_take(char name[NSBPF_NAME_MAX + 1], const char *text, struct error *err);

/* [ADDR:]P[-P][:TARGET][/tcp|udp|both], an IPv6 ADDR in brackets. TARGET is a port, or a range of the same length. */
struct port_spec {
	struct nsbpf_addr addr; /* all zero where none was given */
	__u16 first;            /* host order */
	__u16 last;
	__u16 target; /* for `first`; the same port if none was given */
	bool has_target;
	bool tcp;
	bool udp;
};

/* 0, or -EINVAL with *why pointing at a static text such as "the last port is below the first". */
int port_spec_parse(const char *text, struct port_spec *spec, const char **why);

#endif
