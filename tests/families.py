# SPDX-License-Identifier: GPL-2.0-only
"""An address family and all that belongs to it, so that a test which takes the fixture `family` is written once.

Addresses are those of topology.py. ICMP errors are (type, code) pairs, by what they mean.
"""
from scapy.layers.inet import ICMP, IP, fragment
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoReply, ICMPv6EchoRequest, ICMPv6PacketTooBig,
                                ICMPv6ParamProblem, ICMPv6TimeExceeded, IPv6, IPv6ExtHdrFragment, fragment6)
from scapy.layers.l2 import Ether
from topology import (HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, OUTSIDE_FAR, OUTSIDE_FAR6,
                      OUTSIDE_LINK_LOCAL)


class Family4:
    number, name = 4, "ip4"
    host, outside, far = HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR
    second, third = "198.51.100.9", "172.21.0.1"  # for whoever adds them: more addresses of the host
    lan_host, lan_machine = "172.20.0.1", "172.20.0.2"  # for a LAN of the host's that is no uplink
    router, beyond = "192.0.2.1", "192.0.2.2"  # for one more hop behind the outside machine
    groups = ("255.255.255.255", "10.80.255.255", "224.0.0.1")
    nobody = "203.0.113.250"  # for a blackhole of the outside machine
    servers = (OUTSIDE_FAR, "203.0.113.3", "192.0.2.77")  # of the outside machine, once more_servers() was there
    via = OUTSIDE_ADDRESS  # the host's default route
    other_host, other_via = "198.18.0.1", "198.18.0.2"  # for another link to the outside machine
    any, loopback = "0.0.0.0", "127.0.0.1"
    length, link_length = 32, 24
    header_size, fragment_header_size = 20, 20
    fragment_size, largest_datagram = 1480, 65507  # by an MTU of 1500; of UDP
    subnets = ("10.90.0.0/24", "10.91.0.0/24", "10.92.0.0/24")  # to add networks with
    subnet_option = "--subnet"

    IP, ethertype, protocol = IP, 0x0800, "proto"
    icmp, conf, icmp_ratelimit = 1, "net.ipv4", "net.ipv4.icmp_ratelimit"
    ignore_echo = "net.ipv4.icmp_echo_ignore_all"
    NO_ROUTE, UNREACHABLE, PORT_UNREACHABLE, PROHIBITED = (3, 0), (3, 1), (3, 3), (3, 13)
    TOO_BIG, TIME_EXCEEDED = (3, 4), (11, 0)
    prohibited_error = "EHOSTUNREACH"  # of a socket that meets it

    @staticmethod
    def ip(src, dst, hops=64, **fields):
        return IP(src=src, dst=dst, ttl=hops, **fields)

    @staticmethod
    def ends(packet):
        return packet[IP].src, packet[IP].dst

    @staticmethod
    def hops(packet):
        return packet[IP].ttl

    @staticmethod
    def request(**fields):
        return ICMP(type=8, **fields)

    @staticmethod
    def reply(**fields):
        return ICMP(type=0, **fields)

    @staticmethod
    def is_request(packet):
        return ICMP in packet and packet[ICMP].type == 8

    @staticmethod
    def is_reply(packet):
        return ICMP in packet and packet[ICMP].type == 0

    @staticmethod
    def echo(packet):
        """The layer that has the identifier and the sequence number."""
        return packet[ICMP]

    @staticmethod
    def error(packet):
        """Type and code, or None if it is no ICMP error."""
        if ICMP in packet and packet[ICMP].type in (3, 11, 12):
            return packet[ICMP].type, packet[ICMP].code

    @staticmethod
    def error_layer(packet):
        return packet[ICMP]

    @staticmethod
    def fragments(packet, ident, size=fragment_size):
        """A frame cut into pieces with so much of its payload each."""
        packet = packet.copy()
        packet[IP].id = ident
        return fragment(Ether(bytes(packet)), size)

    @staticmethod
    def offset(packet):
        """Where a fragment begins; None if it is none."""
        return packet[IP].frag * 8 if packet[IP].flags.MF or packet[IP].frag else None

    @staticmethod
    def at(address, port):
        """As `expose` and URLs have it."""
        return f"{address}:{port}"


class Family6:
    number, name = 6, "ip6"
    host, outside, far = HOST_ADDRESS6, OUTSIDE_ADDRESS6, OUTSIDE_FAR6
    second, third = "2001:db8:1::9", "2001:db8:21::1"
    lan_host, lan_machine = "2001:db8:20::1", "2001:db8:20::2"
    router, beyond = "2001:db8:b::1", "2001:db8:b::2"
    groups = ("ff02::1", "ff02::2", "ff05::2", "ff0e::1", "ff02::fb")
    nobody = "2001:db8:cafe::250"
    servers = (OUTSIDE_FAR6, "2001:db8:cafe::3", "2001:db8:77::77")
    via = OUTSIDE_LINK_LOCAL
    other_host, other_via = "2001:db8:18::1", "2001:db8:18::2"
    any, loopback = "::", "::1"
    length, link_length = 128, 64
    header_size, fragment_header_size = 40, 48
    fragment_size, largest_datagram = 1448, 65527
    subnets = ("2001:db8:90::/64", "2001:db8:91::/64", "2001:db8:92::/64")
    subnet_option = "--subnet6"

    IP, ethertype, protocol = IPv6, 0x86dd, "nh"
    icmp, conf, icmp_ratelimit = 58, "net.ipv6", "net.ipv6.icmp.ratelimit"
    ignore_echo = "net.ipv6.icmp.echo_ignore_all"
    NO_ROUTE, PROHIBITED, UNREACHABLE, PORT_UNREACHABLE = (1, 0), (1, 1), (1, 3), (1, 4)
    TOO_BIG, TIME_EXCEEDED = (2, 0), (3, 0)
    prohibited_error = "EACCES"
    ERRORS = (ICMPv6DestUnreach, ICMPv6PacketTooBig, ICMPv6TimeExceeded, ICMPv6ParamProblem)

    @staticmethod
    def ip(src, dst, hops=64, **fields):
        return IPv6(src=src, dst=dst, hlim=hops, **fields)

    @staticmethod
    def ends(packet):
        return packet[IPv6].src, packet[IPv6].dst

    @staticmethod
    def hops(packet):
        return packet[IPv6].hlim

    @staticmethod
    def request(**fields):
        return ICMPv6EchoRequest(**fields)

    @staticmethod
    def reply(**fields):
        return ICMPv6EchoReply(**fields)

    @staticmethod
    def is_request(packet):
        return ICMPv6EchoRequest in packet and not Family6.error(packet)  # whose quote scapy takes for one

    @staticmethod
    def is_reply(packet):
        return ICMPv6EchoReply in packet and not Family6.error(packet)

    @staticmethod
    def echo(packet):
        return packet[ICMPv6EchoReply if ICMPv6EchoReply in packet else ICMPv6EchoRequest]

    @staticmethod
    def error(packet):
        layer = Family6.error_layer(packet)
        if layer:
            return layer.type, layer.code

    @staticmethod
    def error_layer(packet):
        return next((packet[layer] for layer in Family6.ERRORS if layer in packet), None)

    @staticmethod
    def fragments(packet, ident, size=fragment_size):
        whole = Ether(bytes(packet))
        header = whole.copy()
        header[IPv6].remove_payload()
        del header[IPv6].nh, header[IPv6].plen
        pieces = header / IPv6ExtHdrFragment(id=ident, nh=whole[IPv6].nh) / whole[IPv6].payload
        return fragment6(pieces, len(header) + 8 + size)  # as large as the whole frame may be

    @staticmethod
    def offset(packet):
        return packet[IPv6ExtHdrFragment].offset * 8 if IPv6ExtHdrFragment in packet else None

    @staticmethod
    def at(address, port):
        return f"[{address}]:{port}"


FAMILIES = {4: Family4, 6: Family6}
