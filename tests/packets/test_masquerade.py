# SPDX-License-Identifier: GPL-2.0-only
"""Endpoint to outside: the packet as the host would have sent it, and its answer back."""
import struct

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw
from scapy.utils import checksum

from bpf import REDIRECT, SHOT
from flows import refused
from rig import expect, l4_of, translated
from state import packed
from topology import HOST_ADDRESS, OUTSIDE_FAR

# name: (IP fields, (sport, dport, src, dst as the answer's receiver sees them) → L4 and payload)
MASQUERADED = {
    "tcp syn": ({}, lambda s, d: TCP(sport=s, dport=d, flags="S", seq=1, options=[("MSS", 1460), ("WScale", 7)])),
    "tcp mid-flow": ({}, lambda s, d: TCP(sport=s, dport=d, flags="PA", seq=7, ack=9) / Raw(b"mid-flow")),
    "udp": ({}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"question")),
    "udp odd length": ({}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"odd")),
    "udp empty": ({}, lambda s, d: UDP(sport=s, dport=d)),
    "udp without checksum": ({}, lambda s, d: UDP(sport=s, dport=d, chksum=0) / Raw(b"no checksum")),
    "full size": ({"flags": "DF"}, lambda s, d: UDP(sport=s, dport=d) / Raw(bytes(range(256)) * 5 + bytes(172))),
    "ip options": ({"options": 8}, lambda s, d: TCP(sport=s, dport=d, flags="S")),
    "40 bytes of ip options": ({"options": 40}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"x")),
    "dscp and ecn": ({"tos": 0xbb}, lambda s, d: TCP(sport=s, dport=d, flags="SEC")),
    "ip id and df": ({"id": 0x1234, "flags": "DF"}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"x")),
    "ttl 2": ({"ttl": 2}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"x")),
    "ttl 255": ({"ttl": 255}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"x")),
    "ethernet trailer": ({}, lambda s, d: UDP(sport=s, dport=d) / Raw(b"x") / Padding(b"trailer of 17 b..")),
    "tcp ethernet trailer": ({}, lambda s, d: TCP(sport=s, dport=d, flags="S") / Padding(b"\xff" * 6)),
}


@pytest.mark.parametrize("case", MASQUERADED)
def test_masqueraded_and_back(rig, case):
    fields, build = MASQUERADED[case]
    port = rig.port()
    packet = rig.sent(rig.a, OUTSIDE_FAR, **fields) / build(port, 53)
    with rig.dropped():
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
    answer = rig.arrived(**fields) / build(53, port)
    with rig.dropped():
        expect(rig.from_uplink(answer), REDIRECT, translated(answer, rig.to(rig.a), dst=rig.a.address))


def udp_payload_for_checksum_0(src, dst, sport, dport):
    """Two bytes that make the checksum of the *translated* datagram 0, which RFC 768 has sent as 0xffff."""
    pseudo = packed(src) + packed(dst) if ":" in src else packed(src)[12:] + packed(dst)[12:]
    return struct.pack("!H", checksum(pseudo + struct.pack("!HHHHHHH", 17, 10, sport, dport, 10, 0, 0)))


def test_checksum_that_becomes_0_is_sent_as_ffff(rig):
    port, (host, far) = rig.port(), map(rig.family.address, (HOST_ADDRESS, OUTSIDE_FAR))
    payload = Raw(udp_payload_for_checksum_0(host, far, port, 53))
    packet = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=port, dport=53) / payload
    verdict, out = rig.from_endpoint(rig.a, packet)
    assert (verdict, Ether(out)[UDP].chksum) == (REDIRECT, 0xffff)
    payload = Raw(udp_payload_for_checksum_0(far, rig.a.address, 53, port))
    answer = rig.arrived() / UDP(sport=53, dport=port) / payload
    verdict, out = rig.from_uplink(answer)
    assert (verdict, Ether(out)[UDP].chksum) == (REDIRECT, 0xffff)
    assert Ether(out).payload.dst == rig.a.address


@pytest.mark.parametrize("ident", [0, 1, 0xffff])
def test_ping_and_its_answer(rig, ident):
    packet = rig.sent(rig.a, OUTSIDE_FAR) / rig.family.ping(ident, seq=3) / Raw(b"ping")
    verdict, out = rig.from_endpoint(rig.a, packet)
    chosen = l4_of(Ether(out)).id
    expect((verdict, out), REDIRECT, translated(packet, src=HOST_ADDRESS, id=chosen))
    # the same ping again keeps its identifier: the second answer belongs to the same process
    l4_of(packet).seq = 4
    expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS, id=chosen))
    answer = rig.arrived() / rig.family.ping(chosen, seq=3, answer=True) / Raw(b"ping")
    expect(rig.from_uplink(answer), REDIRECT, translated(answer, rig.to(rig.a), dst=rig.a.address, id=ident))


def test_ping_identifiers_of_two_endpoints_differ(rig):
    chosen = set()
    for node in (rig.a, rig.b):
        packet = rig.sent(node, OUTSIDE_FAR) / rig.family.ping(77) / Raw(b"ping")
        chosen.add(l4_of(Ether(rig.from_endpoint(node, packet)[1])).id)
    assert len(chosen) == 2


def test_gso_packet(rig):
    """Larger than the MTU, and cut to size later: not too big."""
    port = rig.port()
    packet = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=port, dport=80) / Raw(bytes(3000))
    result = rig.from_endpoint(rig.a, packet, gso_size=1480 - rig.family.header_size, gso_segs=3)
    expect(result, REDIRECT, translated(packet, src=HOST_ADDRESS))


def test_big_tcp_packet(rig):
    """Of more than 64 KiB, which its header can't say. Without GSO that header is malformed."""
    no_length = {"len": 0} if rig.family.number == 4 else {"plen": 0}
    packet = rig.sent(rig.a, OUTSIDE_FAR, **no_length) / TCP(sport=rig.port(), dport=80) / Raw(bytes(3000))
    with rig.dropped("malformed"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT
    result = rig.from_endpoint(rig.a, packet, gso_size=1480 - rig.family.header_size, gso_segs=3)
    expect(result, REDIRECT, translated(packet, src=HOST_ADDRESS))


@pytest.mark.parametrize("fields, reason", [({"ttl": 1}, "ttl"), ({"ttl": 0}, "ttl"), ({"size": 1473}, "too-big"),
                                            ({"size": 1473, "flags": "DF"}, "too-big")])
def test_a_router_would_not_send_it_on(rig, fields, reason):
    fields = dict(fields)
    payload = Raw(bytes(fields.pop("size", 1)))
    packet = rig.sent(rig.a, OUTSIDE_FAR, **fields) / UDP(sport=rig.port(), dport=9) / payload
    for _ in range(2):  # as the first packet of a flow, and as one more
        refused(rig, rig.a, packet, reason)


def test_the_maps_agree(state):
    """Whatever the tests before this one have left."""
    assert state.entries()
    state.check()
