# SPDX-License-Identifier: GPL-2.0-only
"""What an endpoint sends but is not masqueraded: to neighbours, to the host, and what is dropped for which reason."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.packet import Padding, Raw

from bpf import REDIRECT, SHOT
from icmp import message
from rig import GATEWAY_MAC, SECOND_ADDRESS, expect, expect_untouched, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR

# Some that have neither ports nor identifiers. (All of them: test_protocols.py.)
PROTOCOLS = {"igmp": 2, "ipip": 4, "ipv6": 41, "gre": 47, "esp": 50, "ah": 51, "ospf": 89, "sctp": 132, "udp-lite": 136,
             "reserved": 255}


@pytest.mark.parametrize("name", PROTOCOLS)
def test_protocols_without_ports(rig, name):
    packet = rig.sent(rig.a, OUTSIDE_FAR, proto=PROTOCOLS[name]) / Raw(bytes(64))
    with rig.dropped("protocol"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT
    packet.payload.dst = rig.uplink.address
    expect_untouched(rig.from_endpoint(rig.a, packet), packet)
    packet.payload.dst = rig.b.address
    expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, rig.to(rig.b), ttl=0))


def test_icmp_errors_about_nothing_do_not_go_out(rig):
    quoted = rig.ip(OUTSIDE_FAR, rig.a.address) / UDP(sport=53, dport=rig.port()) / Raw(b"12345678")
    for kind in rig.family.icmp_errors:
        packet = rig.sent(rig.a, OUTSIDE_FAR, proto=rig.family.icmp) / message(rig, (kind, 0, 0), bytes(quoted))
        with rig.dropped("icmp-error"):
            assert rig.from_endpoint(rig.a, packet)[0] == SHOT


def test_other_icmp_is_not_masqueraded(rig):
    for kind in rig.family.icmp_others:
        packet = rig.sent(rig.a, OUTSIDE_FAR, proto=rig.family.icmp) / message(rig, (kind, 0, 0), bytes(28))
        with rig.dropped("icmp-error"):
            assert rig.from_endpoint(rig.a, packet)[0] == SHOT


def test_an_echo_reply_opens_no_connection(rig):
    packet = rig.sent(rig.a, OUTSIDE_FAR) / rig.family.ping(5, answer=True) / Raw(b"x")
    with rig.dropped("untracked"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT


def test_icmp_types_of_the_host_are_left_to_it(rig):
    for kind in (*rig.family.icmp_errors, *rig.family.icmp_others):
        packet = rig.sent(rig.a, HOST_ADDRESS, proto=rig.family.icmp) / message(rig, (kind, 0, 0), bytes(28))
        expect_untouched(rig.from_endpoint(rig.a, packet), packet)
    for answer in (False, True):
        packet = rig.sent(rig.a, HOST_ADDRESS) / rig.family.ping(1, answer=answer)
        expect_untouched(rig.from_endpoint(rig.a, packet), packet)


# Switched: the same packet with other MACs.
SWITCHED = {
    "tcp": {"l4": lambda rig: TCP(sport=1, dport=2, flags="S")},
    "tcp mid-flow": {"l4": lambda rig: TCP(sport=1, dport=2, flags="A")},
    "udp": {"l4": lambda rig: UDP(sport=1, dport=2) / Raw(b"x")},
    "udp checksum 0": {"l4": lambda rig: UDP(sport=1, dport=2, chksum=0) / Raw(b"x")},
    "ping": {"l4": lambda rig: rig.family.ping(1) / Raw(b"x")},
    "answer to a ping": {"l4": lambda rig: rig.family.ping(1, answer=True) / Raw(b"x")},
    "icmp error": {"l4": lambda rig: message(rig, "port unreachable", bytes(28))},
    "ttl 1": {"l4": lambda rig: UDP(sport=1, dport=2) / Raw(b"x"), "ttl": 1},
    "later fragment": {"l4": lambda rig: Raw(bytes(64)), "frag": 8, "proto": 17},
    "options": {"l4": lambda rig: UDP(sport=1, dport=2) / Raw(b"x"), "options": 8},
    "exposed port": {"l4": lambda rig: TCP(sport=1, dport=5400, flags="S")},
    "trailer": {"l4": lambda rig: UDP(sport=1, dport=2) / Padding(b"trailer")},
}


@pytest.mark.parametrize("case", SWITCHED)
def test_switched_to_a_neighbour(rig, case):
    fields = dict(SWITCHED[case])
    payload = fields.pop("l4")(rig)
    packet = rig.sent(rig.a, rig.b.address, **fields) / payload
    before = set(rig.connections.keys())
    with rig.dropped():
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, rig.to(rig.b), ttl=0))
    assert not set(rig.connections.keys()) - before


def test_nobody_has_the_address(rig):
    packet = rig.sent(rig.a, "10.80.77.77") / UDP(sport=1, dport=2)
    with rig.dropped("no-endpoint"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT


@pytest.mark.parametrize("build", [lambda rig: TCP(sport=9, dport=80, flags="S"),
                                   lambda rig: UDP(sport=9, dport=80), lambda rig: rig.family.ping(1)])
def test_networks_are_isolated(rig, build):
    for source, target in ((rig.a, rig.c), (rig.c, rig.a)):
        packet = rig.sent(source, target.address) / build(rig)
        with rig.dropped("isolated"):
            assert rig.from_endpoint(source, packet)[0] == SHOT


@pytest.mark.parametrize("address", [HOST_ADDRESS, SECOND_ADDRESS, "10.80.0.1"])
@pytest.mark.parametrize("build", [lambda rig: TCP(sport=9, dport=22, flags="S"),
                                   lambda rig: TCP(sport=9, dport=22, flags="R"),
                                   lambda rig: UDP(sport=9, dport=53) / Raw(b"x"), lambda rig: rig.family.ping(1)])
def test_to_the_host(rig, address, build):
    packet = rig.sent(rig.a, address, ttl=1) / build(rig)
    with rig.dropped():
        expect_untouched(rig.from_endpoint(rig.a, packet), packet)


@pytest.mark.parametrize("fields, ether, reason", [
    ({"src": "10.80.0.3"}, {}, "spoofed-ip"), ({"src": "10.80.0.1"}, {}, "spoofed-ip"),
    ({"src": HOST_ADDRESS}, {}, "spoofed-ip"), ({"src": OUTSIDE_FAR}, {}, "spoofed-ip"),
    ({"src": "127.0.0.1"}, {}, "spoofed-ip"), ({"src": "0.0.0.0"}, {}, "spoofed-ip"),
    ({"src": "10.99.0.2"}, {}, "spoofed-ip"), ({}, {"src": "02:6e:0a:50:00:03"}, "spoofed-mac"),
    ({}, {"src": GATEWAY_MAC}, "spoofed-mac"), ({}, {"src": "02:00:00:00:00:01"}, "spoofed-mac")])
@pytest.mark.parametrize("dst", [OUTSIDE_FAR, "10.80.0.3", HOST_ADDRESS, "10.80.0.1", "10.99.0.2"])
def test_spoofed(rig, fields, ether, reason, dst):
    packet = rig.out(rig.a) / rig.ip(**{"src": rig.a.address, "dst": dst, **fields}) / UDP(sport=1, dport=2)
    for name, value in ether.items():
        setattr(packet[Ether], name, value)
    with rig.dropped(reason):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT


@pytest.mark.families(4)  # IPv6 multicast: test_nd.py
@pytest.mark.parametrize("dst, mac", [("255.255.255.255", "ff:ff:ff:ff:ff:ff"), ("10.80.255.255", "ff:ff:ff:ff:ff:ff"),
                                      ("224.0.0.251", "01:00:5e:00:00:fb"), ("239.1.2.3", GATEWAY_MAC),
                                      ("255.255.255.255", GATEWAY_MAC), (OUTSIDE_FAR, "ff:ff:ff:ff:ff:ff"),
                                      ("10.80.0.3", "ff:ff:ff:ff:ff:ff")])
def test_broadcast_and_multicast(rig, dst, mac):
    packet = rig.sent(rig.a, dst) / UDP(sport=1, dport=5353) / Raw(b"x")
    packet[Ether].dst = mac
    with rig.dropped("multicast"):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT


@pytest.mark.parametrize("build", [
    lambda rig: Dot1Q(vlan=5) / rig.ip(rig.a.address) / UDP(sport=1, dport=2),
    lambda rig: Dot1Q(vlan=0) / rig.ip(rig.a.address) / UDP(sport=1, dport=2),
    lambda rig: Raw(bytes(50))], ids=["vlan", "priority tag", "nonsense"])
def test_other_ethertypes(rig, build):
    ether = rig.out(rig.a)
    payload = build(rig)
    if isinstance(payload, Raw):
        ether.type = 0x88b5
    with rig.dropped("ethertype"):
        assert rig.from_endpoint(rig.a, ether / payload)[0] == SHOT


def test_answers_nobody_asked_for(rig):
    """From an exposed port, without a connection: not the host's, not anybody's. It must not leave with a new port."""
    packet = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=5000, dport=rig.port(), flags="SA")
    verdict, out = rig.from_endpoint(rig.a, packet)
    assert verdict in (SHOT, REDIRECT)
    assert verdict == SHOT or Ether(out).payload.src == rig.uplink.address


def test_counted_for_the_endpoint(rig):
    before = rig.a.netns.info
    packet = rig.sent(rig.a, rig.b.address) / UDP(sport=1, dport=2) / Raw(bytes(100))
    rig.from_endpoint(rig.a, packet)
    packet.payload.src = rig.family.address("10.80.0.9")
    rig.from_endpoint(rig.a, packet)
    after = rig.a.netns.info
    assert after["tx_packets"] - before["tx_packets"] in (1, 2)
    assert after["drops"] - before["drops"] == 1
