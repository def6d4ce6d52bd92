# SPDX-License-Identifier: GPL-2.0-only
"""The two families as scripts speak of both: in IPv4's words. An address of a script stands for its sibling in IPv6, an
ICMP error for the one that means the same, and the datagram's number is in the flow label."""
import siblings
from scapy.layers.inet import ICMP, IP
from scapy.layers.inet6 import ICMPv6Unknown, IPv6


class Format4:
    name, IP = "ip4", IP
    address = said = staticmethod(lambda address: address)
    fragments = siblings.Family4.fragments
    fragment_size = 1480
    checksum_may_be_none = True

    @staticmethod
    def header(src, dst, ttl=64, tos=0, id=0, flags=""):
        return IP(src=src, dst=dst, ttl=ttl, tos=tos, id=id, flags=flags)

    @staticmethod
    def ident(packet):
        return packet.id

    @staticmethod
    def fields(packet):
        return {"ttl": packet.ttl, "tos": packet.tos, "df": int(packet.flags.DF),
                "ip options": bytes(packet)[20:packet.ihl * 4].hex()}

    @staticmethod
    def header_size(packet):
        return packet.ihl * 4

    @staticmethod
    def ping(type, **fields):
        return ICMP(type=type, **fields)

    @staticmethod
    def error(type, code, nexthopmtu=0):
        return ICMP(type=type, code=code, nexthopmtu=nexthopmtu)

    @staticmethod
    def icmp(message):
        """Type and code of one, in IPv4's words."""
        return message[0], message[1]

    @staticmethod
    def still(data, hole):
        """What no router changes of a datagram: neither TTL nor header checksum, nor what a device will fill in."""
        return data[:8] + data[9:10] + data[12:hole] + data[hole + 2:]


class Format6:
    name, IP = "ip6", IPv6
    fragments = siblings.Family6.fragments
    address = staticmethod(siblings.Family6.address)
    fragment_size = siblings.Family6.fragment_size
    checksum_may_be_none = False
    ICMP = {(8, 0): (128, 0), (0, 0): (129, 0), (3, 0): (1, 0), (3, 1): (1, 3), (3, 3): (1, 4), (3, 4): (2, 0),
            (3, 13): (1, 1), (11, 0): (3, 0), (12, 0): (4, 0)}
    MEANING = {number: word for word, number in ICMP.items()}

    @staticmethod
    def said(address):
        """The other way round."""
        for of, sibling in siblings.SIBLINGS.items():
            found = siblings.ip_address(address)
            if found in sibling:
                return str(of[int(found) - int(sibling[0])])
        return address

    @staticmethod
    def header(src, dst, ttl=64, tos=0, id=0, flags=""):
        return IPv6(src=Format6.address(src), dst=Format6.address(dst), hlim=ttl, tc=tos, fl=id)

    @staticmethod
    def ident(packet):
        return packet.fl

    @staticmethod
    def fields(packet):
        return {"ttl": packet.hlim, "tos": packet.tc}

    @staticmethod
    def header_size(packet):
        return 40

    @staticmethod
    def ping(type, **fields):
        return siblings.Family6.request(**fields) if type == 8 else siblings.Family6.reply(**fields)

    @staticmethod
    def error(type, code, nexthopmtu=0):
        number, code = Format6.ICMP[type, code]
        return ICMPv6Unknown(type=number, code=code, msgbody=nexthopmtu.to_bytes(4, "big"))

    @staticmethod
    def icmp(message):
        return Format6.MEANING.get((message[0], message[1]), (f"v6-{message[0]}", message[1]))

    @staticmethod
    def still(data, hole):
        return data[:7] + data[8:hole] + data[hole + 2:]


FORMATS = {form.name: form for form in (Format4, Format6)}
