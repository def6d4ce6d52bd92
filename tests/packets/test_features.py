# SPDX-License-Identifier: GPL-2.0-only
"""What this kernel has and older ones have not: with each taken away packets become the same, and so do their sums."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.packet import Raw

from bpf import REDIRECT
from flows import PROTOS, SERVERS, answer, open_flow
from icmp import KINDS, L4S, WAYS, opened
from rig import expect, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR

# include/nsbpf/types.h
FIB_SRC, FIB_SKIP_NEIGH, CSUM_IPV6 = 1 << 1, 1 << 2, 1 << 4
FEATURES = {"linux 6.1": FIB_SRC | FIB_SKIP_NEIGH | CSUM_IPV6, "linux 6.7": CSUM_IPV6}


@pytest.fixture(params=FEATURES.values(), ids=FEATURES.keys(), autouse=True)
def without(request, rig):
    with rig.without(request.param):
        yield


@pytest.mark.parametrize("proto", PROTOS)
def test_masqueraded_and_back(rig, proto):
    """By a NAT port of its own and by another one."""
    for port in (rig.port(), rig.port() + 30000):
        for server in SERVERS:
            answer(rig, rig.a, proto, port, open_flow(rig, rig.a, proto, port, server), server)


@pytest.mark.parametrize("name", L4S)
@pytest.mark.parametrize("way", WAYS)
def test_every_way_and_errors(rig, way, name):
    if name == "ping" and way != "masquerade":
        return
    for answered in (False, True):
        flow = opened(rig, way, name, answered)
        for kind in KINDS:
            given, wanted = flow.error(kind)
            expect(flow.report(given), REDIRECT, wanted)


def test_fragments(rig):
    for node, address, target, port in ((rig.a, OUTSIDE_FAR, None, rig.port()), (rig.b, HOST_ADDRESS, rig.a, rig.port())):
        sent = rig.datagram(rig.out(node), node.address, address, port, 5001, port)
        wanted = rig.datagram(rig.to(target) if target else rig.out(node), HOST_ADDRESS,
                              target.address if target else address, port, 5001, port, ttl=63)
        for part, want in zip(sent, wanted):
            expect(rig.from_endpoint(node, part), REDIRECT, want)


def test_checksum_of_0(rig):
    """The one that becomes 0 and the one that is: see test_masquerade.py."""
    for chksum in (0, 0xffff, 1):
        packet = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=rig.port() + 30000, dport=53, chksum=chksum) / Raw(b"x")
        assert rig.from_endpoint(rig.a, packet)[0] == REDIRECT


def test_through_an_exposed_port(rig):
    packet = rig.arrived() / TCP(sport=rig.port(), dport=6003, flags="S")
    expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address, dport=7003))
