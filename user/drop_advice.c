/* SPDX-License-Identifier: GPL-2.0-only */
/* A text for each drop reason, and the names that are put in. */
#include "drop_advice.h"

#include <stdio.h>
#include <string.h>

/* Not a table: the compiler says so where a reason is missing. */
static const char *advice(enum drop_reason reason)
{
	switch (reason) {
	case DROP_MALFORMED:
		return "what sends it is broken, or an attack: `nsbpf monitor --drops` shows from where it comes";
	case DROP_ETHERTYPE:
		return "endpoints speak IPv4, IPv6 and ARP, without VLAN tags; nothing else is carried";
	case DROP_SPOOFED_MAC:
		return "an endpoint has to send with the MAC that it was given: `nsbpf list` shows it; if it must be "
		       "another, `nsbpf del {endpoint}` and `nsbpf add {endpoint} --mac MAC`";
	case DROP_SPOOFED_IP:
		return "an endpoint has to send with its own address, and nobody else with that: `nsbpf list` shows "
		       "them; if it must be another, `nsbpf del {endpoint}` and `nsbpf add {endpoint} --ip {source}`";
	case DROP_SPOOFED_ARP:
		return "an endpoint may claim no address but its own: `nsbpf list` shows it; look for one that was "
		       "added by hand with `nsbpf exec {endpoint} -- ip address`";
	case DROP_SPOOFED_ND:
		return "an endpoint may claim no address but its own, and is no router: look for a router daemon or "
		       "an address that was added by hand with `nsbpf exec {endpoint} -- ip -6 address`";
	case DROP_MARTIAN:
		return "loopback and zero addresses are for use inside: the program in {endpoint} has to send to a "
		       "real address, for the host's own ports to the gateway's";
	case DROP_MULTICAST:
		return "there is no broadcast or multicast: name servers and peers have to be given by address "
		       "(`nsbpf add {endpoint} --dns ADDR`), DHCP and mDNS are not needed";
	case DROP_LINK_LOCAL:
		return "use the endpoints' other addresses: `nsbpf list` shows them";
	case DROP_EXTENSION:
		return "eight extension headers and 200 bytes of them at most are taken, and no source routes: what "
		       "sends it has to do with less";
	case DROP_NO_ENDPOINT:
		return "nobody has the address {destination}: `nsbpf list` shows who has which; `nsbpf check` finds "
		       "an endpoint that is not whole";
	case DROP_ISOLATED:
		return "both networks have to be open: `nsbpf network set {network} --isolate off` and `nsbpf network "
		       "set {other} --isolate off`; or expose the port (`nsbpf expose {target} {port}`) and use "
		       "the host's address";
	case DROP_UNSOLICITED:
		return "endpoints are reached from outside by an exposed port (`nsbpf expose {endpoint} {port}`), or "
		       "by their own address in a routed network (`nsbpf network add NET --mode routed`, `nsbpf add "
		       "NAME "
		       "--network NET`)";
	case DROP_UNTRACKED:
		return "its connection is over, or began before nsbpf did: it has to be opened anew, by a SYN or an "
		       "echo request";
	case DROP_FILTERED:
		return "nobody in there has sent anything to {source}: expose the port (`nsbpf expose {endpoint} "
		       "PORT`), or let everybody send to NAT ports (`nsbpf network set {network} --filtering "
		       "endpoint-independent`)";
	case DROP_REFUSED:
		return "nobody in there has asked for it: expose the port (`nsbpf expose {endpoint} PORT`), or let "
		       "everybody send to NAT ports (`nsbpf network set {network} --filtering endpoint-independent`)";
	case DROP_SOURCE:
		return "{source} is not among those that the port was exposed to: `nsbpf ports` shows them; `nsbpf "
		       "unexpose {endpoint} {port}` and `nsbpf expose {endpoint} {port} --from ...` with {source} as "
		       "well";
	case DROP_PROTOCOL:
		return "TCP, UDP and ping can be masqueraded; others need a routed network, to which the outside knows "
		       "the "
		       "way (`nsbpf network add NET --mode routed`, `nsbpf add NAME --network NET`)";
	case DROP_ICMP_ERROR:
		return "an error message about a packet that is not known here can't be delivered: nothing to be "
		       "done, unless the connection should be there (`nsbpf conntrack list`)";
	case DROP_CHECKSUM:
		return "it was damaged on its way: look for a faulty device or offload (`ethtool -S`, `ethtool -k`)";
	case DROP_FRAGMENT:
		return "the rest of its datagram did not come: a smaller MTU avoids fragments, `nsbpf set "
		       "timeout.fragment` waits longer";
	case DROP_TTL:
		return "it has gone in circles, or was sent so by traceroute: else look for a loop with `ip route "
		       "get {destination}`";
	case DROP_TOO_BIG:
		return "its sender is told how large packets may be; where it does not listen, give the endpoint a "
		       "smaller MTU: `nsbpf save FILE`, `mtu:` of {endpoint} in it, `nsbpf apply FILE`";
	case DROP_NO_ROUTE:
		return "the host has to know the way itself: `ip route get {destination}` asks it, `ip route add "
		       "default via ADDR` adds one";
	case DROP_UNREACHABLE:
		return "somebody has put an unreachable route there: `ip route get {destination}`, `ip rule` and `ip "
		       "route show table all type unreachable` find it, `ip route del unreachable PREFIX` removes it";
	case DROP_PROHIBITED:
		return "somebody has put a prohibiting route or rule there: `ip rule` and `ip route show table all "
		       "type prohibit` find it, `ip route del prohibit PREFIX` removes it";
	case DROP_BLACKHOLE:
		return "somebody has put a blackhole route there: `ip route show table all type blackhole` finds it, "
		       "`ip route del blackhole PREFIX` removes it";
	case DROP_NOT_UPLINK:
		return "if {device} leads to the outside, say so: `nsbpf uplink add {device}`; else it is the host's "
		       "route that is wrong: `ip route get {destination}`";
	case DROP_NO_ADDRESS:
		return "the uplink needs an address of this family: `ip address add ADDR/LENGTH dev {device}`; or the "
		       "host has lost the network's: `nsbpf network set {network} --masquerade on`";
	case DROP_NO_PORT:
		return "all NAT ports to this destination are in use: a second address (`nsbpf network set {network} "
		       "--masquerade ADDR`), a larger range (`nsbpf set nat-ports`) or shorter time-outs (`nsbpf set "
		       "timeout.udp`) give more; `nsbpf stats` shows who has them";
	case DROP_QUOTA:
		return "`nsbpf save FILE`, `max-connections:` of {endpoint} in it and `nsbpf apply FILE` for more of "
		       "them, "
		       "`nsbpf conntrack list --endpoint {endpoint}` to see which it has, shorter time-outs (`nsbpf "
		       "get`) to "
		       "have them end sooner";
	case DROP_TABLE_FULL:
		return "`nsbpf set connections N` for a larger table; `nsbpf stats` shows which endpoint has so many";
	case DROP_REWRITE:
		return "the kernel had no memory for it, or it is no packet that can be changed: if it goes on, it is "
		       "a bug worth reporting";
	case DROP_GROWING:
		return "it passes by itself, when the table is larger; if it does not, a command was killed: any that "
		       "changes something mends it (`nsbpf check --repair`)";
	case DROP_REASONS:
		break;
	}
	return "";
}

struct word {
	const char *name; /* in braces */
	const char *unknown;
	size_t offset; /* in struct advice_names */
};

static const struct word words[] = {
	{ "{endpoint}", "NAME", offsetof(struct advice_names, endpoint) },
	{ "{network}", "NET", offsetof(struct advice_names, network) },
	{ "{target}", "NAME", offsetof(struct advice_names, target) },
	{ "{other}", "NET", offsetof(struct advice_names, other) },
	{ "{source}", "the source", offsetof(struct advice_names, source) },
	{ "{destination}", "DESTINATION", offsetof(struct advice_names, destination) },
	{ "{device}", "DEV", offsetof(struct advice_names, device) },
	{ "{port}", "PORT", offsetof(struct advice_names, port) },
};

/* What stands for the word that the text begins with, and behind it; NULL if it begins with none. */
static const char *replace(const char **text, const struct advice_names *names)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t length = strlen(words[i].name);
		const char *name;

		if (strncmp(*text, words[i].name, length))
			continue;
		name = names ? *(const char *const *)((const char *)names + words[i].offset) : NULL;
		*text += length;
		return name && *name ? name : words[i].unknown;
	}
	return NULL;
}

const char *drop_advice(enum drop_reason reason, const struct advice_names *names, char text[ADVICE_TEXT])
{
	const char *from = advice(reason);
	size_t at = 0;

	while (*from && at < ADVICE_TEXT - 1) {
		const char *word = replace(&from, names);

		if (word)
			at += snprintf(text + at, ADVICE_TEXT - at, "%s", word);
		else
			text[at++] = *from++;
	}
	text[at < ADVICE_TEXT ? at : ADVICE_TEXT - 1] = '\0';
	return text;
}
