# SPDX-License-Identifier: GPL-2.0-only
"""How many ICMP errors nsbpf makes: as many as the kernel would (icmp_ratelimit, icmp_msgs_per_sec and _burst)."""
import time

import pytest
from scapy.layers.inet import UDP
from scapy.packet import Raw

from bpf import REDIRECT, inside
from icmp import forget_rates
from topology import OUTSIDE_FAR, wait_for


@pytest.fixture(autouse=True)
def no_errors_yet(rig):
    forget_rates(rig)


def answered(rig, node, *packets):
    """How many of so many packets, one right after the other."""
    name, device = ("from_endpoint", node.ifindex) if node else ("from_uplink", rig.uplink.ifindex)
    runs = [rig.programs[name].prepare(packet, device, summed=False) for packet in packets]
    with inside(rig.host.path):
        return [once() for once in runs].count(REDIRECT)


def test_of_one_target(rig):
    """Six at once, then one a second; the packets that are not answered are counted as the others."""
    packet = rig.sent(rig.a, OUTSIDE_FAR, ttl=1) / UDP(sport=rig.port(), dport=9)
    before = rig.drops()["ttl"]
    assert answered(rig, rig.a, *[packet] * 12) == 6
    assert rig.drops()["ttl"] == before + 12
    wait_for(lambda: answered(rig, rig.a, packet))
    assert answered(rig, rig.a, *[packet] * 3) == 0


def test_others_need_not_wait(rig):
    packets = {node: rig.sent(node, OUTSIDE_FAR, ttl=1) / UDP(sport=rig.port(), dport=9) for node in (rig.a, rig.b, rig.c)}
    packets[None] = rig.arrived(ttl=1) / UDP(sport=rig.port(), dport=5001)
    for node, packet in packets.items():
        assert answered(rig, node, *[packet] * 12) == 6


def test_the_path_mtu_is_always_told(rig):
    """Whatever else is limited (icmpv4_mask_allow): or a flood of other errors makes a black hole of a path."""
    small = rig.sent(rig.a, OUTSIDE_FAR, ttl=1) / UDP(sport=rig.port(), dport=9)
    large = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=rig.port(), dport=9) / Raw(bytes(1473))
    assert answered(rig, rig.a, *[small] * 12) == 6
    assert answered(rig, rig.a, *[large] * 200) == 200


def test_of_all_together(rig):
    """1000 a second, 50 at once: so that forged sources don't make an amplifier of it."""
    packets = [rig.arrived(src=f"192.0.3.{number}", ttl=1) / UDP(sport=9, dport=5001) for number in range(1, 255)]
    began = time.monotonic()
    count = answered(rig, None, *packets)
    assert 50 <= count <= 55 + 1000 * (time.monotonic() - began) and count < len(packets)
