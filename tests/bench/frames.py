# SPDX-License-Identifier: GPL-2.0-only
"""Frames for the programs' own measurements, made without scapy: its time would be measured as well."""
import socket
import struct

PAYLOAD = bytes(18)
SYN, SYN_ACK, ACK = 0x02, 0x12, 0x10


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def frame(src_mac, dst_mac, saddr, daddr, proto, build):
    """IP around build(checksum of the pseudo header and what it is given), whose length says itself."""
    family = socket.AF_INET6 if ":" in saddr else socket.AF_INET
    ends = socket.inet_pton(family, saddr) + socket.inet_pton(family, daddr)
    l4 = build(lambda data: checksum(ends + struct.pack("!HH", proto, len(data)) + data))
    if family == socket.AF_INET6:
        ethertype, ip = b"\x86\xdd", struct.pack("!IHBB", 6 << 28, len(l4), proto, 64) + ends
    else:
        ethertype, ip = b"\x08\x00", struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(l4), 1, 0, 64, proto, 0) + ends
        ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    return bytes.fromhex((dst_mac + src_mac).replace(":", "")) + ethertype + ip + l4


def udp(sport, dport):
    def build(check):
        header = struct.pack("!HHHH", sport, dport, 8 + len(PAYLOAD), 0)
        return header[:6] + struct.pack("!H", check(header + PAYLOAD) or 0xffff) + PAYLOAD
    return socket.IPPROTO_UDP, build


def tcp(sport, dport, flags):
    def build(check):
        header = struct.pack("!HHIIBBHHH", sport, dport, 1000, 2000, 5 << 4, flags, 500, 0, 0)
        return header[:16] + struct.pack("!H", check(header + PAYLOAD)) + header[18:] + PAYLOAD
    return socket.IPPROTO_TCP, build
