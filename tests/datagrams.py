# SPDX-License-Identifier: GPL-2.0-only
"""What tests ask of an IPv4 datagram: whose it is, whether it is whole, whether its checksums are right."""
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.packet import Raw

ICMP_ERRORS = (3, 11, 12)


def is_fragment(packet):
    return bool(packet.flags.MF or packet.frag)


def is_error(packet):
    return packet.proto == 1 and not packet.frag and packet.payload.type in ICMP_ERRORS


def ports(packet):
    """(source, destination) as nsbpf's tuples have them: the identifier of an echo is its client's port."""
    if ICMP in packet:
        return (packet[ICMP].id, 0) if packet[ICMP].type == 8 else (0, packet[ICMP].id)
    return packet.sport, packet.dport


def defragment(packets):
    """Whole datagrams; fragments that lack others stay what they are."""
    whole, pieces = [], {}
    for packet in packets:
        if is_fragment(packet) and not wrong_checksums(packet):
            pieces.setdefault((packet.src, packet.dst, packet.proto, packet.id), []).append(packet)
        else:
            whole.append(packet)
    for found in pieces.values():
        found.sort(key=lambda packet: packet.frag)
        data = b""
        for packet in found:
            if packet.frag * 8 != len(data):
                break
            data += bytes(packet.payload)
        if found[-1].flags.MF or found[-1].frag * 8 + len(found[-1].payload) != len(data):
            whole += found
            continue
        header = found[0].copy()
        header.remove_payload()
        header.flags.MF, header.len, header.chksum = False, None, None
        whole.append(IP(bytes(header / Raw(data))))
    return whole


def wrong_checksums(packet):
    """The layers whose checksum is not what scapy makes of it; "none" for a UDP checksum of 0. A fragment has no L4."""
    fresh = packet.copy()
    layers = [IP] if is_fragment(packet) else [layer for layer in (IP, TCP, UDP, ICMP) if layer in fresh]
    if UDP in layers and not packet[UDP].chksum:
        layers.remove(UDP)
    for layer in layers:
        del fresh[layer].chksum
    fresh = IP(bytes(fresh))
    return [layer.__name__ for layer in layers if packet[layer].chksum != fresh[layer].chksum]
