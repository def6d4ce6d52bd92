# SPDX-License-Identifier: GPL-2.0-only
"""What tests ask of an IP datagram, v4 or v6: whose it is, whether it is whole, whether its checksums are right."""
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest, IPv6, IPv6ExtHdrFragment, _ICMPv6, _ICMPv6Error, \
    _IPv6ExtHdr
from scapy.packet import Raw
from scapy.utils import checksum

ICMP_ERRORS = (3, 11, 12)


def upper(packet):
    """What it carries: the layer behind the IP header, and behind IPv6's extension headers."""
    layer = packet.payload
    while isinstance(layer, _IPv6ExtHdr):
        layer = layer.payload
    return layer


def protocol(packet):
    """Its number."""
    if not isinstance(packet, IPv6):
        return packet.proto
    while isinstance(packet.payload, _IPv6ExtHdr):
        packet = packet.payload
    return packet.nh


def piece(packet):
    """(first byte, whether more follow, identification); None if it is no fragment."""
    if isinstance(packet, IPv6):
        layer = packet.payload
        while isinstance(layer, _IPv6ExtHdr):
            if isinstance(layer, IPv6ExtHdrFragment):
                return (layer.offset * 8, bool(layer.m), layer.id) if layer.m or layer.offset else None
            layer = layer.payload
    elif packet.flags.MF or packet.frag:
        return packet.frag * 8, bool(packet.flags.MF), packet.id
    return None


def is_fragment(packet):
    return piece(packet) is not None


def is_error(packet):
    layer = upper(packet)
    return isinstance(layer, _ICMPv6Error) or isinstance(layer, ICMP) and layer.type in ICMP_ERRORS


def ports(packet):
    """(source, destination) as nsbpf's tuples have them: the identifier of an echo is its client's port."""
    layer = upper(packet)
    if isinstance(layer, ICMPv6EchoReply) or isinstance(layer, ICMP) and layer.type != 8:
        return 0, layer.id
    if isinstance(layer, (ICMP, ICMPv6EchoRequest)):
        return layer.id, 0
    return layer.sport, layer.dport


def defragment(packets):
    """Whole datagrams; fragments that lack others stay what they are."""
    whole, pieces = [], {}
    for packet in packets:
        if is_fragment(packet) and not wrong_checksums(packet):
            pieces.setdefault((packet.src, packet.dst, protocol(packet), piece(packet)[2]), []).append(packet)
        else:
            whole.append(packet)
    for found in pieces.values():
        found.sort(key=piece)
        data = b""
        for packet in found:
            first, more, _ = piece(packet)
            if first != len(data):
                break
            data += carried(packet)
        if more or first + len(carried(found[-1])) != len(data):
            whole += found
            continue
        whole.append(joined(found[0], data))
    return whole


def carried(packet):
    """The bytes of a fragment."""
    return bytes(upper(packet))


def joined(packet, data):
    """The datagram with the headers of its first fragment, and all of its data."""
    header = packet.copy()
    if isinstance(packet, IPv6):
        layer = header[IPv6ExtHdrFragment]
        layer.underlayer.nh = layer.nh
        layer.underlayer.remove_payload()
        header.plen = None
    else:
        header.remove_payload()
        header.flags.MF, header.len, header.chksum = False, None, None
    return type(packet)(bytes(header / Raw(data)))


def wrong_checksums(packet):
    """The layers whose checksum is wrong; IPv4's UDP checksum of 0 is none. A fragment has only its header's."""
    data, l4 = bytes(packet), upper(packet)
    wrong = []
    if isinstance(packet, IP):
        start, end, icmp = packet.ihl * 4, packet.len, ICMP
        pseudo_header = data[12:20] + struct.pack("!HH", packet.proto, end - start)
        if checksum(data[:start]):
            wrong.append("IP")
    else:
        start, end, icmp = header_size(packet), 40 + packet.plen, _ICMPv6
        pseudo_header = data[8:40] + struct.pack("!II", end - start, protocol(packet))
    if not isinstance(l4, (TCP, UDP, icmp)) or is_fragment(packet):
        return wrong
    if isinstance(l4, UDP) and isinstance(packet, IP) and not l4.chksum:
        return wrong
    if checksum((b"" if icmp is ICMP and isinstance(l4, ICMP) else pseudo_header) + data[start:end]):
        wrong.append(type(l4).__name__)
    return wrong


def header_size(packet):
    """Of IPv6, with its extension headers."""
    size, layer = 40, packet.payload
    while isinstance(layer, _IPv6ExtHdr):
        size += 8 if isinstance(layer, IPv6ExtHdrFragment) else 8 * (layer.len + 1)
        layer = layer.payload
    return size
