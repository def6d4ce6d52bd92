# SPDX-License-Identifier: GPL-2.0-only
"""What the rows' words mean in IPv4 and in IPv6: addresses, headers, ICMP errors, fragments.

A `form` is a header that is not plain: "df" (only IPv4 has that), "extended" (with IP options, or with extension
headers), and "later", a fragment from the middle of a UDP datagram.
"""
import struct

from families import Family4, Family6
from scapy.layers.inet import ICMP, IP, IPOption_NOP
from scapy.layers.inet6 import (ICMPv6Unknown, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                PadN)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

PADDING = PadN(optdata=bytes(4))
LATER = 185  # where a "later" fragment begins, in units of 8 bytes


class RowFamily4(Family4):
    title = "IPv4"
    icmp_title = "ICMP"
    at_once = ""  # what makes a new address usable
    servers = ("203.0.113.2", "203.0.113.3", "203.0.113.4")
    stranger = "203.0.113.99"     # no flow's server
    narrow = "203.0.113.9"        # behind a route with a small MTU
    router_beyond = "192.0.2.77"  # on the way to the servers
    elsewhere = "192.0.2.1"       # of another host
    error_limit = 576             # bytes of an ICMP error (RFC 1812 section 4.3.2.3)
    errors = ((3, 0), (3, 1), (3, 2), (3, 3), (3, 4), (3, 13), (11, 0), (11, 1), (12, 0))
    forms = {None: {}, "df": {"flags": "DF"}, "extended": {"options": [IPOption_NOP()] * 4},
             "later": {"proto": 17, "flags": "MF", "frag": LATER}}

    @classmethod
    def header(cls, src, dst, number, form):
        """`number`: what the packet is known by."""
        return IP(src=src, dst=dst, id=number, **cls.forms[form])

    @staticmethod
    def number_of(packet):
        return packet[IP].id

    @staticmethod
    def error_message(kind, quote, mtu=0):
        return ICMP(type=kind[0], code=kind[1], nexthopmtu=mtu) / Raw(quote)

    @staticmethod
    def mtu(error):
        return error.nexthopmtu

    @staticmethod
    def quote_size(packet):
        """How much of it an error has to quote: the header and 8 bytes (RFC 792)."""
        return len(packet[IP]) - len(packet[IP].payload) + 8

    @classmethod
    def cut(cls, packet):
        """Its fragments."""
        return cls.fragments(packet, packet[IP].id)

    @staticmethod
    def piece(frame):
        """Of a fragment: where it begins, its data, and whether more is behind it."""
        return frame[IP].frag * 8, bytes(frame[IP].payload), bool(frame[IP].flags.MF)

    @staticmethod
    def renumbered(piece, like):
        """A fragment with the identification of another one."""
        result = piece.copy()
        result[IP].id = like[IP].id
        return result

    @staticmethod
    def joined(first, data):
        """The datagram whose first fragment this is."""
        header = first[IP].copy()
        header.remove_payload()
        header.flags = 0
        del header.len, header.chksum
        return Ether(bytes(Ether(src=first.src, dst=first.dst) / header / data))


class RowFamily6(Family6):
    title = "IPv6"
    icmp_title = "ICMPv6"
    at_once = "nodad"
    servers = ("2001:db8:cafe::2", "2001:db8:cafe::3", "2001:db8:cafe::4")
    stranger = "2001:db8:cafe::99"
    narrow = "2001:db8:cafe::9"
    router_beyond = "2001:db8:77::77"
    elsewhere = "2001:db8:2::1"
    error_limit = 1280  # the smallest MTU that there is (RFC 4443 section 2.4 (c))
    errors = ((1, 0), (1, 1), (1, 3), (1, 4), (1, 5), (2, 0), (3, 0), (3, 1), (4, 0), (4, 1))

    @staticmethod
    def header(src, dst, number, form):
        header = IPv6(src=src, dst=dst, fl=number)  # a NAT has no business with the flow label
        if form == "extended":
            return header / IPv6ExtHdrHopByHop(options=[PADDING]) / IPv6ExtHdrDestOpt(options=[PADDING])
        if form == "later":
            return header / IPv6ExtHdrFragment(nh=17, offset=LATER, m=1, id=number)
        return header

    @staticmethod
    def number_of(packet):
        return packet[IPv6].fl

    @staticmethod
    def error_message(kind, quote, mtu=0):
        return ICMPv6Unknown(type=kind[0], code=kind[1], msgbody=struct.pack("!I", mtu) + quote)

    @staticmethod
    def mtu(error):
        return error.mtu

    @classmethod
    def quote_size(cls, packet):
        """As much as fits."""
        return min(len(packet[IPv6]), cls.error_limit - len(IPv6()) - 8)

    @classmethod
    def cut(cls, packet):
        return cls.fragments(packet, packet[IPv6].fl)

    @staticmethod
    def piece(frame):
        if IPv6ExtHdrFragment not in frame:
            return 0, bytes(frame[IPv6].payload), False
        header = frame[IPv6ExtHdrFragment]
        return header.offset * 8, bytes(header.payload), bool(header.m)

    @staticmethod
    def renumbered(piece, like):
        result = piece.copy()
        result[IPv6ExtHdrFragment].id = like[IPv6ExtHdrFragment].id
        return result

    @staticmethod
    def joined(first, data):
        header = first[IPv6].copy()
        header.remove_payload()
        if IPv6ExtHdrFragment in first:
            header.nh = first[IPv6ExtHdrFragment].nh
        del header.plen
        return Ether(bytes(Ether(src=first.src, dst=first.dst) / header / data))


FAMILIES = (RowFamily4, RowFamily6)


def spelt(family, kind):
    """An ICMP type and code, as tables have them."""
    return f"{family.icmp_title} {kind[0]}/{kind[1]}"


def family_of(packet):
    return RowFamily6 if packet.payload.version == 6 else RowFamily4
