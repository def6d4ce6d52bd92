# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors about no known connection: the host's own matter from outside, dropped from an endpoint."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Raw

from bpf import PASS, SHOT
from icmp import KINDS, message, opened
from rig import expect_untouched, l4_of
from topology import HOST_ADDRESS, OUTSIDE_FAR


def stranger(rig, node, quoted, kind="port unreachable"):
    """An error towards the outside by an endpoint, or to the host from there, that nsbpf knows nothing about."""
    quoted = bytes(quoted)
    if node:
        packet = rig.sent(node, OUTSIDE_FAR, proto=rig.family.icmp) / message(rig, kind, quoted)
        with rig.dropped("icmp-error"):
            assert rig.from_endpoint(node, packet)[0] == SHOT, quoted.hex()
    else:
        packet = rig.arrived(proto=rig.family.icmp) / message(rig, kind, quoted)
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)


# name: (the quoted packet's IP header without addresses, and what it carries)
UNKNOWN = {
    "tcp": ({}, lambda rig: TCP(sport=9, dport=80, flags="S")),
    "udp": ({}, lambda rig: UDP(sport=9, dport=9) / Raw(b"x")),
    "ping": ({}, lambda rig: rig.family.ping(9)), "answer to a ping": ({}, lambda rig: rig.family.ping(9, answer=True)),
    "gre": ({"proto": 47}, lambda rig: Raw(bytes(40))), "sctp": ({"proto": 132}, lambda rig: Raw(bytes(40))),
    "error": (None, lambda rig: message(rig, "port unreachable", bytes(rig.ip(OUTSIDE_FAR, HOST_ADDRESS) / UDP()))),
    "no error": (None, lambda rig: message(rig, (rig.family.icmp_others[0], 0, 0), bytes(12))),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_about_an_unknown_connection(rig, case):
    fields, l4 = UNKNOWN[case]
    fields = {"proto": rig.family.icmp} if fields is None else fields
    for kind in KINDS:
        stranger(rig, None, rig.ip(HOST_ADDRESS, OUTSIDE_FAR, **fields) / l4(rig), kind)
        stranger(rig, rig.a, rig.ip(OUTSIDE_FAR, rig.a.address, **fields) / l4(rig), kind)


def test_about_an_error(rig):
    """The inmost quote is a connection's, but nobody answers an error with one."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        stranger(rig, flow.receiver, flow.error()[0].payload)
        stranger(rig, flow.receiver, flow.error()[1].payload)
        inner = rig.ip(*flow.seen_ends[:2], proto=rig.family.icmp) / message(rig, "port unreachable",
                                                                            bytes(flow.seen.payload))
        stranger(rig, flow.receiver, inner)


def test_about_a_later_fragment(rig):
    """There are no ports in there, only data that may look like them."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        quoted = rig.ip(*flow.seen_ends[:2], frag=1, proto=flow.proto) / Raw(bytes(l4_of(flow.seen)))
        stranger(rig, flow.receiver, quoted)


def test_with_a_wrong_checksum(rig):
    """Whether it is right is looked at only if it is about a connection: the host may count its own bad ones."""
    quoted = bytes(rig.ip(HOST_ADDRESS) / UDP())
    packet = rig.arrived(proto=rig.family.icmp) / message(rig, "port unreachable", quoted, chksum=1)
    with rig.dropped():
        expect_untouched(rig.from_uplink(packet), packet)


def test_about_what_the_reporter_sent_itself(rig):
    """Its own packet, not one that it was sent."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way)
        stranger(rig, flow.sender, flow.sent.payload)


def test_about_anothers_connection(rig):
    """An endpoint speaks for itself alone, whatever it has heard of its neighbour's connections."""
    for way, node in (("exposed", rig.b), ("exposed", rig.c), ("exposed elsewhere", rig.a)):
        stranger(rig, node, opened(rig, way).seen.payload)
    flow = opened(rig, "hairpin")
    for quoted in (flow.seen.payload, flow.answer().seen.payload):
        packet = rig.sent(rig.c, HOST_ADDRESS, proto=rig.family.icmp) / message(rig, "port unreachable", bytes(quoted))
        with rig.dropped("icmp-error"):
            assert rig.from_endpoint(rig.c, packet)[0] == SHOT


@pytest.mark.parametrize("answer", [False, True])
def test_from_outside_about_a_hairpin(rig, answer):
    """None of its packets was ever outside."""
    flow = opened(rig, "hairpin", "udp", answer)
    for quoted in (flow.sent.payload, flow.seen.payload):
        stranger(rig, None, quoted)


# Of IPv4 source quench is obsolete (RFC 6633), a redirect is for the next router only; of IPv6 nobody knows these errors.
NO_ERRORS = {4: (4, 5, 13, 40), 6: (0, 5, 100, 127, 138, 200)}


def test_no_errors(rig):
    for way in ("masquerade", "exposed"):
        for kind in NO_ERRORS[rig.family.number]:
            flow = opened(rig, way)
            stranger(rig, flow.receiver, flow.seen.payload, (kind, 0, 0))


def test_an_error_in_fragments(rig):
    """Its checksum can't be validated piece by piece: it is left to the host, or goes nowhere."""
    for way in ("masquerade", "exposed"):
        flow = opened(rig, way).carrying(lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(b"x" * 900))
        for part in rig.family.fragments(flow.error()[0], 97, 512):
            result = flow.report(part)
            assert result[0] == SHOT or way == "masquerade" and result == (PASS, bytes(part))
