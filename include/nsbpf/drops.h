/* SPDX-License-Identifier: GPL-2.0-only */
/* Every reason for which the datapath drops a packet: enum, name for JSON and scripts, text for people. */
#ifndef NSBPF_DROPS_H
#define NSBPF_DROPS_H

#define NSBPF_DROP_REASONS(X)                                                                                          \
	X(MALFORMED, "malformed", "header cut short or inconsistent")                                                  \
	X(ETHERTYPE, "ethertype", "neither IPv4, IPv6 nor ARP, or tagged")                                             \
	X(SPOOFED_MAC, "spoofed-mac", "source MAC is not the endpoint's")                                              \
	X(SPOOFED_IP, "spoofed-ip", "source address is not the endpoint's")                                            \
	X(SPOOFED_ARP, "spoofed-arp", "ARP claims an address that is not the endpoint's")                              \
	X(SPOOFED_ND, "spoofed-nd", "neighbour discovery as another one's, or as a router's")                          \
	X(MARTIAN, "martian", "an address that is nobody's on a wire")                                                 \
	X(MULTICAST, "multicast", "broadcast or multicast")                                                            \
	X(LINK_LOCAL, "link-local", "a link-local address, which leads no further")                                    \
	X(EXTENSION, "extension-header", "IPv6 extension headers too many or too long, or a source route")             \
	X(NO_ENDPOINT, "no-endpoint", "no endpoint has this address, or it is being removed")                          \
	X(ISOLATED, "isolated", "the endpoint of another, isolated network")                                           \
	X(UNSOLICITED, "unsolicited", "forwarded towards an endpoint without a connection")                            \
	X(UNTRACKED, "untracked", "belongs to no connection and may not open one")                                     \
	X(FILTERED, "filtered", "to a NAT port, from where its endpoint has sent nothing to")                          \
	X(REFUSED, "refused", "SYN to a NAT port, and still nobody has asked for it after 6 s")                        \
	X(SOURCE, "source", "the exposed port is not for this source")                                                 \
	X(PROTOCOL, "protocol", "a protocol that can't be masqueraded")                                                \
	X(ICMP_ERROR, "icmp-error", "ICMP error about no known connection, or no ICMP for the outside")                \
	X(CHECKSUM, "checksum", "ICMP error whose checksum is wrong")                                                  \
	X(FRAGMENT, "fragment", "fragment whose first one did not come in time")                                       \
	X(TTL, "ttl", "time to live or hop limit exceeded")                                                            \
	X(TOO_BIG, "too-big", "larger than the route's MTU")                                                           \
	X(NO_ROUTE, "no-route", "the host has no route")                                                               \
	X(UNREACHABLE, "unreachable", "the host's route says unreachable")                                             \
	X(PROHIBITED, "prohibited", "the host's route says prohibited")                                                \
	X(BLACKHOLE, "blackhole", "the host's route says blackhole")                                                   \
	X(NOT_UPLINK, "not-uplink", "the route leaves by a device that is no uplink")                                  \
	X(NO_ADDRESS, "no-address", "the host has no address to masquerade with, or not the network's")                \
	X(NO_PORT, "no-port", "no NAT port is free")                                                                   \
	X(QUOTA, "quota", "the endpoint has as many connections as it may")                                            \
	X(TABLE_FULL, "table-full", "the connection table is full")                                                    \
	X(GROWING, "growing", "a new connection, while the connection table is made larger")                           \
	X(REWRITE, "rewrite", "the packet could not be rewritten")

#define NSBPF_DROP_ENUM(id, name, text) DROP_##id,
enum drop_reason { NSBPF_DROP_REASONS(NSBPF_DROP_ENUM) DROP_REASONS };
#undef NSBPF_DROP_ENUM

#endif
