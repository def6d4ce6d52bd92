# SPDX-License-Identifier: GPL-2.0-only
"""Fragments: only the first has ports, and the later ones go its way."""
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, SHOT
from icmp import open_networks
from rig import expect, expect_untouched, l4_of, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR


def test_masqueraded_and_back(rig):
    port, ident = rig.port(), 4711
    sent = rig.datagram(rig.out(rig.a), rig.a.address, OUTSIDE_FAR, port, 53, ident)
    wanted = rig.datagram(rig.out(rig.a), HOST_ADDRESS, OUTSIDE_FAR, port, 53, ident, ttl=63)
    assert len(sent) == 4
    for part, want in zip(sent, wanted):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, want)
    sent = rig.datagram(rig.wan(), OUTSIDE_FAR, HOST_ADDRESS, 53, port, ident)
    wanted = rig.datagram(rig.to(rig.a), OUTSIDE_FAR, rig.a.address, 53, port, ident, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_uplink(part), REDIRECT, want)


def test_later_ones_in_any_order(rig):
    port, ident = rig.port(), 4712
    sent = rig.datagram(rig.out(rig.a), rig.a.address, OUTSIDE_FAR, port, 53, ident)
    wanted = rig.datagram(rig.out(rig.a), HOST_ADDRESS, OUTSIDE_FAR, port, 53, ident, ttl=63)
    for index in (0, 3, 1, 2, 1):
        expect(rig.from_endpoint(rig.a, sent[index]), REDIRECT, wanted[index])


def test_to_the_host_and_to_a_neighbour(rig):
    for part in reversed(rig.datagram(rig.out(rig.a), rig.a.address, HOST_ADDRESS, 9, 53, 4716)):
        expect_untouched(rig.from_endpoint(rig.a, part), part)
    for part in reversed(rig.datagram(rig.out(rig.a), rig.a.address, rig.b.address, 9, 53, 4717)):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, translated(part, rig.to(rig.b), ttl=0))


def test_to_another_network(rig):
    """Routed, not translated: each goes its way by itself."""
    parts = rig.datagram(rig.out(rig.a), rig.a.address, rig.c.address, 9, 53, 4721)
    with open_networks(rig):
        for index in (3, 0, 1, 2):
            expect(rig.from_endpoint(rig.a, parts[index]), REDIRECT, translated(parts[index], rig.to(rig.c)))


def test_fragmented_ping(rig):
    ping = rig.sent(rig.a, OUTSIDE_FAR) / rig.family.ping(9) / Raw(bytes(3000))
    parts = rig.family.fragments(ping, 4718)
    verdict, out = rig.from_endpoint(rig.a, parts[0])
    wanted = rig.family.fragments(translated(ping, src=HOST_ADDRESS, id=l4_of(Ether(out)).id), 4718)
    expect((verdict, out), REDIRECT, wanted[0])
    for part, want in zip(parts[1:], wanted[1:]):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, want)


def test_first_one_too_short_for_its_ports(rig):
    """RFC 1858: the rest of the TCP header would come in the second fragment, unseen."""
    whole = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=rig.port(), dport=80, flags="S") / Raw(bytes(64))
    with rig.dropped("malformed"):
        assert rig.from_endpoint(rig.a, rig.family.fragments(whole, 4719, 8)[0])[0] == SHOT


def test_through_an_exposed_port_and_back(rig):
    port = rig.port()
    sent = rig.datagram(rig.wan(), OUTSIDE_FAR, HOST_ADDRESS, port, 5001, 4730)
    wanted = rig.datagram(rig.to(rig.a), OUTSIDE_FAR, rig.a.address, port, 5001, 4730, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_uplink(part), REDIRECT, want)
    sent = rig.datagram(rig.out(rig.a), rig.a.address, OUTSIDE_FAR, 5001, port, 4730)
    wanted = rig.datagram(rig.out(rig.a), HOST_ADDRESS, OUTSIDE_FAR, 5001, port, 4730, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, want)


def test_hairpin(rig):
    port = rig.port()
    sent = rig.datagram(rig.out(rig.b), rig.b.address, HOST_ADDRESS, port, 5001, 4731)
    wanted = rig.datagram(rig.to(rig.a), HOST_ADDRESS, rig.a.address, port, 5001, 4731, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_endpoint(rig.b, part), REDIRECT, want)


def test_of_unknown_datagrams_on_the_uplink_are_the_hosts(rig):
    for part in rig.datagram(rig.wan(), OUTSIDE_FAR, HOST_ADDRESS, 53, rig.port(), 4732):
        with rig.dropped():
            expect_untouched(rig.from_uplink(part), part)


def test_straight_to_an_endpoint(rig):
    for part in rig.datagram(rig.wan(), OUTSIDE_FAR, rig.a.address, 53, rig.port(), 4733):
        expect_untouched(rig.from_uplink(part), part)
