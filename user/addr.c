/* SPDX-License-Identifier: GPL-2.0-only */
/* Addresses, prefixes, MACs, numbers, times and names: text to numbers and back. */
#include "addr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "error.h"

#define PREFIX4 96 /* what mapping into IPv6 adds to an IPv4 prefix length */

struct nsbpf_addr addr_from4(__be32 addr4)
{
	return (struct nsbpf_addr){ .words = { 0, 0, htonl(0xffff), addr4 } };
}

bool addr_is4(const struct nsbpf_addr *addr)
{
	return !addr->words[0] && !addr->words[1] && addr->words[2] == htonl(0xffff);
}

bool addr_is_any(const struct nsbpf_addr *addr)
{
	return !addr->words[0] && !addr->words[1] && !addr->words[2] && !addr->words[3];
}

bool addr_is_loopback(const struct nsbpf_addr *addr)
{
	if (addr_is4(addr))
		return addr->bytes[12] == 127;
	return !addr->words[0] && !addr->words[1] && !addr->words[2] && addr->words[3] == htonl(1);
}

bool addr_is_link_local(const struct nsbpf_addr *addr)
{
	if (addr_is4(addr))
		return addr->bytes[12] == 169 && addr->bytes[13] == 254;
	return addr->bytes[0] == 0xfe && addr->bytes[1] >> 6 == 2;
}

__be32 addr_to4(const struct nsbpf_addr *addr)
{
	return addr->words[3];
}

bool addr_equal(const struct nsbpf_addr *a, const struct nsbpf_addr *b)
{
	return !memcmp(a, b, sizeof(*a));
}

int addr_parse(const char *text, struct nsbpf_addr *addr)
{
	struct nsbpf_addr addr6;
	__be32 addr4;

	if (inet_pton(AF_INET, text, &addr4) == 1)
		*addr = addr_from4(addr4);
	else if (inet_pton(AF_INET6, text, &addr6) == 1)
		*addr = addr6;
	else
		return -EINVAL;
	return 0;
}

const char *addr_format(const struct nsbpf_addr *addr, char text[ADDR_TEXT])
{
	if (addr_is4(addr))
		inet_ntop(AF_INET, &addr->words[3], text, ADDR_TEXT);
	else
		inet_ntop(AF_INET6, addr, text, ADDR_TEXT);
	return text;
}

int addr_pair_parse(const char *text, struct addr_pair *pair)
{
	struct addr_pair found = { 0 };
	char copy[2 * ADDR_TEXT], *rest = copy, *word;

	if (strlen(text) >= sizeof(copy))
		return -EINVAL;
	strcpy(copy, text);
	while ((word = strsep(&rest, ","))) {
		struct nsbpf_addr addr, *place;

		if (addr_parse(word, &addr) || addr_is_any(&addr))
			return -EINVAL;
		place = addr_is4(&addr) ? &found.v4 : &found.v6;
		if (!addr_is_any(place))
			return -EINVAL;
		*place = addr;
	}
	*pair = found;
	return 0;
}

int cidr_parse(const char *text, struct cidr *cidr)
{
	const char *slash = strchr(text, '/');
	size_t len = slash ? (size_t)(slash - text) : strlen(text);
	unsigned long prefix = 128;
	struct nsbpf_addr addr;
	char copy[ADDR_TEXT];
	bool dotted;

	if (len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	if (addr_parse(copy, &addr))
		return -EINVAL;

	dotted = !strchr(copy, ':');
	if (slash) {
		if (number_parse(slash + 1, 0, dotted ? 32 : 128, &prefix))
			return -EINVAL;
		if (dotted)
			prefix += PREFIX4;
	}
	/* "::ffff:10.0.0.0/64" would be a prefix of IPv6 around all of IPv4: neither family */
	if (addr_is4(&addr) && prefix < PREFIX4)
		return -EINVAL;

	*cidr = (struct cidr){ .addr = addr, .prefix = prefix };
	return 0;
}

const char *cidr_format(const struct cidr *cidr, char text[CIDR_TEXT])
{
	unsigned int prefix = addr_is4(&cidr->addr) ? cidr->prefix - PREFIX4 : cidr->prefix;
	char addr[ADDR_TEXT];

	snprintf(text, CIDR_TEXT, "%s/%u", addr_format(&cidr->addr, addr), prefix);
	return text;
}

static struct nsbpf_addr clear_host_bits(const struct nsbpf_addr *addr, unsigned int prefix)
{
	struct nsbpf_addr net = *addr;

	for (unsigned int i = 0; i < sizeof(net.bytes); i++) {
		unsigned int bits = prefix > i * 8 ? prefix - i * 8 : 0; /* of this byte and those behind it */

		if (bits < 8)
			net.bytes[i] &= 0xff00 >> bits;
	}
	return net;
}

bool cidr_has_host_bits(const struct cidr *cidr)
{
	struct nsbpf_addr net = clear_host_bits(&cidr->addr, cidr->prefix);

	return !addr_equal(&cidr->addr, &net);
}

bool cidr_contains(const struct cidr *cidr, const struct nsbpf_addr *addr)
{
	struct nsbpf_addr net = clear_host_bits(&cidr->addr, cidr->prefix);
	struct nsbpf_addr other = clear_host_bits(addr, cidr->prefix);

	/* no IPv4 address is in ::/0, although the mapped form is */
	return addr_is4(&cidr->addr) == addr_is4(addr) && addr_equal(&net, &other);
}

bool cidr_overlaps(const struct cidr *a, const struct cidr *b)
{
	/* two prefixes are disjoint, or one lies in the other */
	return a->prefix <= b->prefix ? cidr_contains(a, &b->addr) : cidr_contains(b, &a->addr);
}

struct nsbpf_addr cidr_mask(unsigned int prefix)
{
	struct nsbpf_addr ones;

	memset(&ones, 0xff, sizeof(ones));
	return clear_host_bits(&ones, prefix);
}

struct nsbpf_addr cidr_nth(const struct cidr *cidr, __u32 number)
{
	struct nsbpf_addr addr = cidr->addr;

	addr.words[3] |= htonl(number);
	return addr;
}

__u32 cidr_last(const struct cidr *cidr)
{
	unsigned int bits = 128 - cidr->prefix;
	__u32 last = bits < 32 ? (1U << bits) - 1 : ~0U;

	return addr_is4(&cidr->addr) ? last - 1 : last;
}

bool cidr_has_host(const struct cidr *cidr, const struct nsbpf_addr *addr)
{
	struct nsbpf_addr broadcast = cidr_nth(cidr, cidr_last(cidr) + 1);

	return cidr_contains(cidr, addr) && !addr_equal(addr, &cidr->addr) &&
	       !(addr_is4(addr) && addr_equal(addr, &broadcast));
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

int mac_parse(const char *text, unsigned char mac[6])
{
	unsigned char bytes[6], any = 0;

	if (strlen(text) != MAC_TEXT - 1)
		return -EINVAL;
	for (int i = 0; i < 6; i++) {
		int high = hex_digit(text[i * 3]);
		int low = hex_digit(text[i * 3 + 1]);

		if (high < 0 || low < 0 || (i < 5 && text[i * 3 + 2] != ':'))
			return -EINVAL;
		bytes[i] = high << 4 | low;
		any |= bytes[i];
	}
	/* as the kernel's is_valid_ether_addr() */
	if (!any || bytes[0] & 1)
		return -EINVAL;
	memcpy(mac, bytes, sizeof(bytes));
	return 0;
}

const char *mac_format(const unsigned char mac[6], char text[MAC_TEXT])
{
	snprintf(text, MAC_TEXT, "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4], mac[5]);
	return text;
}

int number_parse(const char *text, unsigned long min, unsigned long max, unsigned long *number)
{
	unsigned long value = 0;

	if (!*text || (text[0] == '0' && text[1])) /* "010" is ten to some and eight to others */
		return -EINVAL;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (__builtin_mul_overflow(value, 10, &value) || __builtin_add_overflow(value, *text - '0', &value))
			return -EINVAL;
	}
	if (value < min || value > max)
		return -EINVAL;
	*number = value;
	return 0;
}

int duration_parse(const char *text, unsigned long min, unsigned long max, unsigned long *seconds)
{
	static const struct {
		char letter;
		unsigned long seconds;
	} units[] = { { 's', 1 }, { 'm', 60 }, { 'h', 60 * 60 }, { 'd', 24 * 60 * 60 } };
	size_t len = strlen(text);
	unsigned long unit = 1, number;
	char digits[24];

	for (size_t i = 0; len && i < sizeof(units) / sizeof(units[0]); i++) {
		if (text[len - 1] == units[i].letter) {
			unit = units[i].seconds;
			len--;
			break;
		}
	}
	if (len >= sizeof(digits))
		return -EINVAL;
	memcpy(digits, text, len);
	digits[len] = '\0';
	if (number_parse(digits, 0, max / unit, &number) || number * unit < min)
		return -EINVAL;
	*seconds = number * unit;
	return 0;
}

int name_check(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t len = strspn(name, allowed);

	if (name[len] || !len || len > NSBPF_NAME_MAX)
		return -EINVAL;
	if (name[0] == '-' || !strcmp(name, ".") || !strcmp(name, ".."))
		return -EINVAL;
	return 0;
}

int name_take(char name[NSBPF_NAME_MAX + 1], const char *text, struct error *err)
{
	if (name_check(text))
		return fail(err, EXIT_USAGE, "'%s' is no name: 1 to %d of A-Z a-z 0-9 _ . -, not beginning with -",
			    text, NSBPF_NAME_MAX);
	strcpy(name, text);
	return 0;
}
