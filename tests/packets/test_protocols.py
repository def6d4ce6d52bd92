# SPDX-License-Identifier: GPL-2.0-only
"""Protocols that have no NAT ports: none leaves with an endpoint's address, none from outside is touched.

Pitfall cilium #42144: what a datapath did not know passed through it as it was.
"""
import struct

import pytest
from bpf import REDIRECT, SHOT
from flows import answer, open_flow
from icmp import message
from rig import expect_untouched
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS, OUTSIDE_FAR

UDPLITE, SCTP = 136, 132
INNER = IP(src="10.80.0.2", dst=OUTSIDE_FAR) / UDP(sport=1, dport=53) / Raw(b"inner")
# name: (number, what it carries)
PROTOCOLS = {
    "igmp": (2, bytes.fromhex("1600e9ff00000000")),
    "ipip": (4, bytes(INNER)),
    "sixth": (41, bytes.fromhex("6000000000003a40") + bytes(32)),
    "gre": (47, bytes.fromhex("00000800") + bytes(INNER)),
    "esp": (50, struct.pack("!II", 0x1000, 1) + bytes(64)),
    "ah": (51, struct.pack("!BBHII", 17, 4, 0, 1, 1) + bytes(12) + bytes(INNER[UDP])),
    "sctp": (SCTP, struct.pack("!HHII", 10000, 80, 0, 0) + bytes.fromhex("01000014") + bytes(16)),
    "udplite": (UDPLITE, struct.pack("!HHHH", 10000, 53, 8, 0) + b"x"),
    "experimental": (253, bytes(40)),
}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_to_the_outside(rig, state, name):
    number, payload = PROTOCOLS[name]
    before = state.usage()
    packet = rig.sent(rig.a, OUTSIDE_FAR, proto=number) / Raw(payload)
    with rig.dropped("protocol"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT
    assert state.usage() == before


@pytest.mark.parametrize("name", PROTOCOLS)
def test_from_outside(rig, name):
    number, payload = PROTOCOLS[name]
    for address in (HOST_ADDRESS, rig.a.address):
        packet = rig.arrived(address, proto=number) / Raw(payload)
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_to_the_host(rig, name):
    number, payload = PROTOCOLS[name]
    packet = rig.sent(rig.a, HOST_ADDRESS, proto=number) / Raw(payload)
    with rig.dropped():
        expect_untouched(rig.from_endpoint(rig.a, packet), packet)


@pytest.mark.parametrize("name", PROTOCOLS)
@pytest.mark.parametrize("fields", [{"flags": "MF"}, {"frag": 10}, {"flags": "MF", "frag": 10}])
def test_fragments(rig, name, fields):
    number, payload = PROTOCOLS[name]
    packet = rig.sent(rig.a, OUTSIDE_FAR, proto=number, id=7, **fields) / Raw(payload[:8] * 8)
    assert rig.from_endpoint(rig.a, packet)[0] == SHOT
    packet = rig.arrived(proto=number, id=7, **fields) / Raw(payload[:8] * 8)
    with rig.dropped():
        expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("options", [bytes(4), b"\x01" * 40])
def test_pitfall_cilium_42144_every_number(rig, options):
    for number in set(range(256)) - {6, 17, rig.family.icmp, *rig.family.extensions}:
        packet = bytes(rig.sent(rig.a, OUTSIDE_FAR, proto=number) / Raw(options + bytes(40)))
        with rig.dropped("protocol"):
            assert rig.from_endpoint(rig.a, packet)[0] == SHOT, number
        packet = bytes(rig.arrived(proto=number) / Raw(options + bytes(40)))
        expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("number", [UDPLITE, SCTP, 33])
def test_with_the_ports_of_a_live_connection(rig, number):
    """What stands where UDP has its ports is no port of UDP's: neither the connection nor an exposed port takes it."""
    port = rig.port()
    for proto in ("tcp", "udp"):
        chosen = open_flow(rig, rig.a, proto, port)
        packet = rig.sent(rig.a, OUTSIDE_FAR, proto=number) / Raw(struct.pack("!HHHH", port, 80, 16, 0) + bytes(8))
        with rig.dropped("protocol"):
            assert rig.from_endpoint(rig.a, packet)[0] == SHOT
        for asked in (chosen, 5000, 5001):
            packet = rig.arrived(proto=number) / Raw(struct.pack("!HHHH", 80, asked, 16, 0) + bytes(8))
            expect_untouched(rig.from_uplink(packet), packet)
        answer(rig, rig.a, proto, port, chosen)


@pytest.mark.parametrize("number", [0, 1, 0xffff])
def test_an_echo_reply_opens_nothing(rig, state, number):
    """Whatever its identifier: 0 is one as well."""
    before = state.usage()
    packet = rig.sent(rig.a, OUTSIDE_FAR) / rig.family.ping(number, answer=True) / Raw(b"x")
    with rig.dropped("untracked"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT
    assert state.usage() == before


# Packets that go out if they are well-formed, or look as if they were.
SHAPES = {
    "tcp": lambda rig: TCP(sport=20000, dport=80, flags="S"),
    "udp": lambda rig: UDP(sport=20000, dport=80) / Raw(b"x" * 40),
    "ping": lambda rig: rig.family.ping(1) / Raw(b"x" * 40),
    "icmp error": lambda rig: message(rig, "port unreachable", bytes(rig.ip(rig.a.address)) + bytes(INNER[UDP])),
    **{name: lambda rig, payload=payload: Raw(payload) for name, (_, payload) in PROTOCOLS.items()},
}


@pytest.mark.parametrize("name", SHAPES)
def test_pitfall_kubernetes_74839_nothing_leaves_with_an_endpoints_address(rig, name):
    """Invariant 1. Every length that cuts it, every protocol number that fits or does not, mid-flow, fragmented."""
    first = 14 + rig.family.header_size
    for number in (1, 2, 4, 6, 17, 47, 58, UDPLITE):
        for fields in ({}, {"flags": "MF"}, {"flags": "DF"}, {"frag": 185}, {"ttl": 1}, {"options": 8}):
            whole = bytes(rig.sent(rig.a, OUTSIDE_FAR, proto=number, id=9, **fields) / SHAPES[name](rig))
            for length in {len(whole), len(whole) - 1, *range(first, min(len(whole), first + 46), 3)}:
                verdict, out = rig.from_endpoint(rig.a, whole[:length], summed=False)
                assert verdict in (SHOT, REDIRECT)
                if verdict == REDIRECT:  # or ICMP's answer to the sender
                    ip = Ether(out).payload
                    assert rig.uplink.address == ip.src or ip.dst == rig.a.address, (number, fields, length)


@pytest.mark.parametrize("flags", ["SA", "A", "PA", "FA", "FPU", "R", "RA", "", "SF", "SR", "SRFA"])
def test_pitfall_libnetwork_2275_invalid_segments_do_not_leak(rig, flags):
    """netfilter calls them INVALID and its NAT lets them by."""
    packet = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=rig.port(), dport=80, flags=flags, seq=7, ack=9)
    verdict, out = rig.from_endpoint(rig.a, packet)
    assert verdict == SHOT or verdict == REDIRECT and Ether(out).payload.src == rig.uplink.address


def test_the_maps_agree(state):
    state.check()
