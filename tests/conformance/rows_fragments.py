# SPDX-License-Identifier: GPL-2.0-only
"""Fragments: rows 12 and 16. A NAT may forward them, or put the datagram together: what counts is what arrives."""
import itertools

from row_flows import BACK, OUT
from machines import destination, ends, same, source, unsummed
from rig import translated
from scapy.layers.inet import IP
from scapy.packet import Raw
from rows_icmp import check_error
from table import check, row

SIZE = 4000  # of a datagram that becomes three fragments
ALONE, IN_ORDER, LAST_FIRST, MIDDLE_FIRST = (0,), (0, 1, 2), (2, 1, 0), (1, 0, 2)
FLOOD, LATER_SIZE = 3000, 1440


@row(12)
def fragments(net):
    flow = net.open("udp", net.a, 5000)
    for order in (IN_ORDER, LAST_FIRST, MIDDLE_FIRST):
        for direction in (OUT, BACK):
            check(passes(net, flow, direction, order), f"a datagram {direction} was lost, fragments in order {order}")
    flow = net.open("icmp", net.a, 5000)
    for order in (IN_ORDER, LAST_FIRST):
        check(passes(net, flow, OUT, order), f"a ping was lost, fragments in order {order}")
    for direction in (OUT, BACK):
        check(passes(net, flow, direction, ALONE, data=16), "an only fragment was lost")  # RFC 6946
    return "any order, both ways"


@row(12)
def fragment_flood(net):
    flow = net.open("udp", net.a, 5000)
    lone = [net.packet(net.b, net.b.address, net.servers[1], Raw(bytes(LATER_SIZE)), "later")
            for _ in range(FLOOD)]
    net.send(net.b, *lone)
    leaked = len(net.news(net.outside))
    check(not leaked, f"{leaked} fragments left that belong to nothing")
    for order in (IN_ORDER, LAST_FIRST):
        for direction in (OUT, BACK):
            check(passes(net, flow, direction, order),
                  f"after {FLOOD} lone fragments of another endpoint datagrams {direction} are lost")
    return f"also after {FLOOD} lone fragments"


@row(16)
def errors_about_fragments(net):
    flow = net.open("udp", net.a, 5000)
    for direction in (OUT, BACK):
        pieces, arrived = send(net, flow, direction, IN_ORDER)
        check(arrived, f"a datagram {direction} was lost")
        first = min(arrived, key=lambda frame: net.family.piece(frame)[0])
        # A NAT that puts datagrams together makes fragments of its own.
        flow.last[direction] = net.family.renumbered(pieces[0], first), first
        for kind, cut in itertools.product(net.family.errors, (8, 500)):
            check_error(flow, direction, kind, cut=cut)
    return "about fragments: all restored"


def send(net, flow, direction, order, data=SIZE):
    """Sends a datagram's fragments in this order; returns them, and what arrived if that is all of it."""
    pieces = net.family.cut(flow.compose(direction, data=data))
    sender, receiver = (flow.near, flow.far) if direction == OUT else (flow.far, flow.near)
    net.send(sender, *(pieces[index] for index in order))

    def arrived():
        frames = [frame for frame in net.news(receiver) if net.is_same(frame, pieces[0])]
        return frames if whole(frames, net.family) else []
    return pieces, net.eventually(arrived)


def passes(net, flow, direction, order, data=SIZE):
    """Whether a datagram arrives whose fragments are sent in this order. It has to be whole, and right."""
    pieces, arrived = send(net, flow, direction, order, data)
    got = whole(arrived, net.family)
    if got:
        sent = whole(pieces, net.family)
        same(got, translated(unsummed(sent), got, **ends(source(got), destination(got), got)), "a datagram")
    return got


def whole(frames, family):
    """The datagram that these fragments are, or None; each has a right checksum and they neither overlap nor repeat."""
    pieces = sorted(((*family.piece(frame), frame) for frame in frames), key=lambda piece: piece[0])
    data, more = b"", True
    for offset, piece, more, frame in pieces:
        check_header(frame)
        if offset != len(data):
            return None
        data += piece
    return family.joined(pieces[0][-1], data) if pieces and not more else None


def check_header(frame):
    fresh = frame.copy()
    if IP in fresh:
        del fresh[IP].chksum
    same(frame, fresh, "a fragment")
