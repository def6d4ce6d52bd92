# SPDX-License-Identifier: GPL-2.0-only
"""What packet tests need of the two families beyond families.py, to say it once for both.

Tests write IPv4: its addresses, the names of its header's fields. In IPv6 each address stands for its sibling
(address()), each field for what does its work there (header()).
"""
import struct
from ipaddress import ip_address, ip_network

import families
from scapy.layers.inet import IP, IPOption_NOP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, PadN
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import checksum
from topology import HOST_ADDRESS6, OUTSIDE_FAR6

# The number in the first becomes the number in the second. (A Rig adds its endpoints' networks.)
SIBLINGS = {ip_network(ip4 + "/24"): ip_network(ip6 + "/64", strict=False) for ip4, ip6 in (
    ("198.51.100.0", HOST_ADDRESS6), ("203.0.113.0", OUTSIDE_FAR6), ("192.0.1.0", "2001:db8:11::"),
    ("192.0.2.0", "2001:db8:2::"), ("192.0.3.0", "2001:db8:3::"), ("10.1.2.0", "2001:db8:a::"))}
SPECIAL = {"127.0.0.1": "::1", "0.0.0.0": "::", "224.0.0.1": "ff02::1"}


def kinds(family, parameter_problem):
    """name: (type, code, second word of the ICMP header)"""
    return {"network unreachable": (*family.NO_ROUTE, 0), "host unreachable": (*family.UNREACHABLE, 0),
            "port unreachable": (*family.PORT_UNREACHABLE, 0), "too big": (*family.TOO_BIG, 1400),
            "prohibited": (*family.PROHIBITED, 0), "ttl exceeded": (*family.TIME_EXCEEDED, 0),
            "reassembly time exceeded": (family.TIME_EXCEEDED[0], 1, 0), "parameter problem": parameter_problem}


class Ping:
    @classmethod
    def ping(cls, ident, seq=0, answer=False):
        return (cls.reply if answer else cls.request)(id=ident, seq=seq)


class Family4(Ping, families.Family4):
    icmp_limit, icmp_tos = 576, 0xc0  # RFC 1812 4.3.2.3 and 4.3.2.5
    extensions, icmp_errors, icmp_others = (), (3, 5, 11, 12, 4), (13, 15, 17, 108)
    kinds = kinds(families.Family4, (12, 0, 20 << 24))

    @staticmethod
    def address(address):
        return address

    @staticmethod
    def header(**fields):
        fields.setdefault("proto", None)
        options = [IPOption_NOP()] * fields.pop("options", 0)
        return IP(options=options, **{name: value for name, value in fields.items() if value is not None})

    @staticmethod
    def fragment(packet):
        """What says whose fragment it is: (source, destination, identification, protocol), as far as it counts."""
        ip = packet.payload
        return ip.src, ip.dst, ip.id, ip.proto

    @staticmethod
    def moved(packet, ident=None, frag=None):
        """A fragment as part of another datagram, or at another place (in units of 8 bytes)."""
        packet = packet.copy()
        packet.payload.id = packet.payload.id if ident is None else ident
        packet.payload.frag = packet.payload.frag if frag is None else frag
        return Ether(rebuilt(packet))

    @staticmethod
    def icmp_message(kind, quote, chksum=None):
        number, code, word = kind
        if chksum is None:
            chksum = checksum(struct.pack("!BBHI", number, code, 0, word) + quote)
        return Raw(struct.pack("!BBHI", number, code, chksum, word) + quote)


class Family6(Ping, families.Family6):
    icmp_limit, icmp_tos = 1280, 0  # RFC 4443 2.4 (c)
    extensions, icmp_errors, icmp_others = (0, 43, 44, 60), (1, 2, 3, 4, 100), (138, 139, 144, 200)
    kinds = kinds(families.Family6, (4, 0, 6))

    @staticmethod
    def address(address):
        """Its sibling; an IPv6 one is what was meant."""
        if address is None or ":" in address:
            return address
        if address in SPECIAL:
            return SPECIAL[address]
        ip4 = ip_address(address)
        of, sibling = next((of, sibling) for of, sibling in SIBLINGS.items() if ip4 in of)
        return str(sibling[int(ip4) - int(of[0])])

    @staticmethod
    def header(ttl=64, tos=0, options=0, flags="", frag=None, id=0, proto=None, len=None, **fields):
        """Options are 8 bytes or more of a destination options header; what makes a fragment is a fragment header."""
        if len is not None:
            fields["plen"] = max(0, len - 20)
        head = last = IPv6(hlim=ttl, tc=tos, **{name: value for name, value in fields.items() if name != "chksum"})
        if options:
            length = (options + 7) // 8 * 8
            last.add_payload(IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(length - 4))]))
        if "MF" in flags or frag is not None:
            head.lastlayer().add_payload(IPv6ExtHdrFragment(m="MF" in flags, offset=frag or 0, id=id))
        if proto is not None:
            head.lastlayer().nh = proto
        return head

    @staticmethod
    def fragment(packet):
        """The protocol does not: what is behind the first one's fragment header may differ (RFC 8200 4.5)."""
        return packet.payload.src, packet.payload.dst, packet[IPv6ExtHdrFragment].id, 0

    @staticmethod
    def moved(packet, ident=None, frag=None):
        packet = packet.copy()
        header = packet[IPv6ExtHdrFragment]
        header.id = header.id if ident is None else ident
        header.offset = header.offset if frag is None else frag
        return Ether(bytes(packet))

    @staticmethod
    def icmp_message(kind, quote, chksum=None):
        number, code, word = kind
        return ICMPv6Unknown(type=number, code=code, cksum=chksum, msgbody=struct.pack("!I", word) + quote)


def rebuilt(frame):
    """With the lengths and the IP checksum that scapy computes; what is behind the IP header stays."""
    frame = frame.copy()
    for field in ("len", "chksum", "plen"):
        if field in frame.payload.fields:
            frame.payload.delfieldval(field)
    return bytes(frame)


FAMILIES = {4: Family4, 6: Family6}
