# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors about no known connection: the host's own matter from outside, dropped from an endpoint."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import PASS, SHOT
from icmp import KINDS, PORT_UNREACHABLE, message, opened
from rig import expect_untouched
from topology import HOST_ADDRESS, OUTSIDE_FAR


def stranger(rig, node, quoted, kind=PORT_UNREACHABLE):
    """An error towards the outside by an endpoint, or to the host from there, that nsbpf knows nothing about."""
    quoted = bytes(quoted)
    if node:
        packet = rig.sent(node, OUTSIDE_FAR, proto=1) / message(kind, quoted)
        with rig.dropped("icmp-error"):
            assert rig.from_endpoint(node, packet)[0] == SHOT, IP(quoted).summary()
    else:
        packet = rig.arrived(proto=1) / message(kind, quoted)
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)


# name: (the quoted packet's IP header without addresses, and what it carries)
UNKNOWN = {
    "tcp": ({}, TCP(sport=9, dport=80, flags="S")), "udp": ({}, UDP(sport=9, dport=9) / Raw(b"x")),
    "ping": ({}, ICMP(id=9)), "answer to a ping": ({}, ICMP(type=0, id=9)),
    "gre": ({"proto": 47}, Raw(bytes(40))), "sctp": ({"proto": 132}, Raw(bytes(40))),
    "error": ({}, ICMP(type=3, code=3) / IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS) / UDP(sport=53, dport=9)),
    "timestamp": ({}, ICMP(type=13) / Raw(bytes(12))),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_about_an_unknown_connection(rig, case):
    fields, l4 = UNKNOWN[case]
    for kind in KINDS.values():
        stranger(rig, None, IP(src=HOST_ADDRESS, dst=OUTSIDE_FAR, **fields) / l4, kind)
        stranger(rig, rig.a, IP(src=OUTSIDE_FAR, dst=rig.a.address, **fields) / l4, kind)


def test_about_an_error(rig):
    """The inmost quote is a connection's, but nobody answers an error with one."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        stranger(rig, flow.receiver, flow.error()[0][IP])
        stranger(rig, flow.receiver, flow.error()[1][IP])
        inner = IP(src=flow.seen_ends[0], dst=flow.seen_ends[1]) / ICMP(type=3, code=3) / flow.seen[IP]
        stranger(rig, flow.receiver, inner)


def test_about_a_later_fragment(rig):
    """There are no ports in there, only data that may look like them."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        quoted = flow.seen[IP].copy()
        quoted.frag = 1
        del quoted.chksum
        stranger(rig, flow.receiver, quoted)


def test_with_a_wrong_checksum(rig):
    """Whether it is right is looked at only if it is about a connection: the host may count its own bad ones."""
    packet = rig.arrived(proto=1) / message(PORT_UNREACHABLE, bytes(IP(src=HOST_ADDRESS) / UDP()), chksum=1)
    with rig.dropped():
        expect_untouched(rig.from_uplink(packet), packet)


def test_about_what_the_reporter_sent_itself(rig):
    """Its own packet, not one that it was sent."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        stranger(rig, flow.sender, flow.sent[IP])


def test_about_anothers_connection(rig):
    """An endpoint speaks for itself alone, whatever it has heard of its neighbour's connections."""
    for way, node in (("exposed", rig.b), ("exposed", rig.c), ("exposed elsewhere", rig.a)):
        stranger(rig, node, opened(rig, way).seen[IP])
    flow = opened(rig, "hairpin")
    for quoted in (flow.seen[IP], flow.answer().seen[IP]):
        packet = rig.sent(rig.c, HOST_ADDRESS, proto=1) / message(PORT_UNREACHABLE, bytes(quoted))
        with rig.dropped("icmp-error"):
            assert rig.from_endpoint(rig.c, packet)[0] == SHOT


@pytest.mark.parametrize("answer", [False, True])
def test_from_outside_about_a_hairpin(rig, answer):
    """None of its packets was ever outside."""
    flow = opened(rig, "hairpin", "udp", answer)
    for quoted in (flow.sent[IP], flow.seen[IP]):
        stranger(rig, None, quoted)


@pytest.mark.parametrize("kind", [(4, 0, 0), (5, 1, 0), (13, 0, 0), (40, 0, 0)])
def test_no_errors(rig, kind):
    """Source quench is obsolete (RFC 6633), a redirect is for the next router only."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        stranger(rig, flow.receiver, flow.seen[IP], kind)


def test_an_error_in_fragments(rig):
    """Its checksum can't be validated piece by piece: it is left to the host, or goes nowhere."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way).carrying(lambda s, d, answer: UDP(sport=s, dport=d) / Raw(b"x" * 900))
        for part in fragment(Ether(bytes(flow.error(id=97)[0])), 512):
            result = flow.report(part)
            assert result[0] == SHOT or way == "masquerade" and result == (PASS, bytes(part))
