# SPDX-License-Identifier: GPL-2.0-only
"""What the host's stack sends to an endpoint: its own packets, and none that it forwards for somebody else."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q
from scapy.packet import Padding, Raw

from bpf import SHOT
from icmp import message
from rig import GATEWAY_MAC, SECOND_ADDRESS, expect_untouched
from topology import HOST_ADDRESS, OUTSIDE_FAR

L4 = {
    "syn": lambda rig: TCP(sport=22, dport=80, flags="S"),
    "ack": lambda rig: TCP(sport=22, dport=80, flags="A"),
    "udp": lambda rig: UDP(sport=53, dport=80) / Raw(b"x"),
    "udp checksum 0": lambda rig: UDP(sport=53, dport=80, chksum=0) / Raw(b"x"),
    "ping": lambda rig: rig.family.ping(3) / Raw(b"x"),
    "icmp error": lambda rig: message(rig, "port unreachable", bytes(28)),
    "trailer": lambda rig: UDP(sport=53, dport=80) / Padding(b"trailer"),
}


@pytest.mark.parametrize("case", L4)
@pytest.mark.parametrize("source", ["10.80.0.1", HOST_ADDRESS, SECOND_ADDRESS])
def test_the_hosts_own(rig, case, source):
    packet = rig.to(rig.a) / rig.ip(source, rig.a.address, ttl=1) / L4[case](rig)
    with rig.dropped():
        expect_untouched(rig.to_endpoint(rig.a, packet), packet)


def test_protocols_and_fragments_of_the_hosts_own(rig):
    for fields in ({"proto": 47}, {"proto": 50}, {"proto": 17, "frag": 9}, {"proto": 17, "flags": "MF"}):
        packet = rig.to(rig.a) / rig.ip(HOST_ADDRESS, rig.a.address, **fields) / Raw(bytes(64))
        expect_untouched(rig.to_endpoint(rig.a, packet), packet)


@pytest.mark.parametrize("case", L4)
@pytest.mark.parametrize("source", [OUTSIDE_FAR, HOST_ADDRESS, "10.80.0.3", "10.80.0.2"])
def test_forwarded(rig, case, source):
    """With ip_forward=1 the host would route a stranger's packet to us: it came in by a device, ours has not."""
    packet = rig.to(rig.a) / rig.ip(source, rig.a.address) / L4[case](rig)
    for device in (rig.uplink.ifindex, rig.b.ifindex):
        with rig.dropped("unsolicited"):
            assert rig.to_endpoint(rig.a, packet, ingress_ifindex=device)[0] == SHOT


def test_forwarded_protocols_and_fragments(rig):
    for fields in ({"proto": 47}, {"proto": 17, "frag": 9}, {"proto": 6, "flags": "MF"}, {"version": 5}):
        packet = rig.to(rig.a) / rig.ip(OUTSIDE_FAR, rig.a.address, **fields) / Raw(bytes(64))
        with rig.dropped("unsolicited"):
            assert rig.to_endpoint(rig.a, packet, ingress_ifindex=rig.uplink.ifindex)[0] == SHOT


def test_forwarded_behind_a_tag(rig):
    packet = rig.to(rig.a) / Dot1Q(vlan=5) / rig.ip(OUTSIDE_FAR, rig.a.address) / UDP(sport=1, dport=2)
    with rig.dropped("unsolicited"):
        assert rig.to_endpoint(rig.a, packet, ingress_ifindex=rig.uplink.ifindex)[0] == SHOT


@pytest.mark.families(4)
def test_the_hosts_arp(rig):
    """Its neighbour entry is permanent; if somebody deletes it, the namespace answers like any machine."""
    packet = rig.to(rig.a) / ARP(op=1, hwsrc=GATEWAY_MAC, psrc="10.80.0.1", pdst=rig.a.address)
    packet.dst = "ff:ff:ff:ff:ff:ff"
    with rig.dropped():
        expect_untouched(rig.to_endpoint(rig.a, packet), packet)


def test_counted_as_received(rig):
    before = rig.a.netns.info
    packet = rig.to(rig.a) / rig.ip(HOST_ADDRESS, rig.a.address) / UDP(sport=1, dport=2) / Raw(bytes(100))
    rig.to_endpoint(rig.a, packet)
    rig.to_endpoint(rig.a, packet, ingress_ifindex=rig.uplink.ifindex)
    after = rig.a.netns.info
    assert after["rx_packets"] - before["rx_packets"] == 1
    assert after["drops"] - before["drops"] == 1
