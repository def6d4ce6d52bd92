# SPDX-License-Identifier: GPL-2.0-only
"""Fragments: row 12. A NAT may forward them, or put the datagram together first: what counts is what arrives."""
from row_flows import BACK, OUT
from machines import destination, ends, same, source
from net import SERVERS
from rig import translated
from scapy.layers.inet import IP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from table import check, row

SIZE, PIECE = 4000, 1480
IN_ORDER, LAST_FIRST, MIDDLE_FIRST = (0, 1, 2), (2, 1, 0), (1, 0, 2)
FLOOD = 3000


@row(12)
def fragments(net):
    flow = net.open("udp", net.a, 5000)
    for order in (IN_ORDER, LAST_FIRST, MIDDLE_FIRST):
        for direction in (OUT, BACK):
            check(passes(net, flow, direction, order), f"a datagram {direction} was lost, fragments in order {order}")
    flow = net.open("icmp", net.a, 5000)
    for order in (IN_ORDER, LAST_FIRST):
        check(passes(net, flow, OUT, order), f"a ping was lost, fragments in order {order}")
    return "any order, both ways"


@row(12)
def fragment_flood(net):
    flow = net.open("udp", net.a, 5000)
    lone = [net.packet(net.b, net.b.address, SERVERS[1], Raw(bytes(PIECE)), proto=17, flags="MF", frag=PIECE // 8)
            for _ in range(FLOOD)]
    net.send(net.b, *lone)
    leaked = len(net.news(net.outside))
    check(not leaked, f"{leaked} fragments left that belong to nothing")
    for order in (IN_ORDER, LAST_FIRST):
        for direction in (OUT, BACK):
            check(passes(net, flow, direction, order),
                  f"after {FLOOD} lone fragments of another endpoint datagrams {direction} are lost")
    return f"also after {FLOOD} lone fragments"


def passes(net, flow, direction, order):
    """Whether a datagram arrives whose fragments are sent in this order. It has to be whole, and right."""
    packet = flow.compose(direction, data=SIZE)
    pieces = fragment(Ether(bytes(packet)), PIECE)
    sender, receiver = (flow.near, flow.far) if direction == OUT else (flow.far, flow.near)
    net.send(sender, *(pieces[index] for index in order))
    got = net.eventually(lambda: whole([frame for frame in net.news(receiver) if frame[IP].id == packet[IP].id]))
    if got:
        same(got, translated(packet, got[Ether], **ends(source(got), destination(got), got)), "a datagram")
    return got


def whole(frames):
    """The datagram that these fragments are, or None; each has a right checksum and they neither overlap nor repeat."""
    data = b""
    for frame in sorted(frames, key=lambda frame: frame[IP].frag):
        fresh = frame.copy()
        del fresh[IP].chksum
        same(frame, fresh, "a fragment")
        if frame[IP].frag * 8 != len(data):
            return None
        data += bytes(frame[IP].payload)
    if not data or frame[IP].flags.MF:
        return None
    first = min(frames, key=lambda frame: frame[IP].frag)
    header = first[IP].copy()
    header.remove_payload()
    header.flags, header.frag = 0, 0
    del header.len, header.chksum
    return Ether(bytes(Ether(src=first.src, dst=first.dst) / header / data))
