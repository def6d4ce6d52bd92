# SPDX-License-Identifier: GPL-2.0-only
"""Fragments: only the first has ports, and the later ones go its way."""
import struct

from scapy.layers.inet import ICMP, TCP, fragment
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, SHOT
from icmp import open_networks
from rig import datagram, expect, expect_untouched, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR


def test_masqueraded_and_back(rig):
    port, ident = rig.port(), 4711
    sent = datagram(rig.out(rig.a), rig.a.address, OUTSIDE_FAR, port, 53, ident)
    wanted = datagram(rig.out(rig.a), HOST_ADDRESS, OUTSIDE_FAR, port, 53, ident, ttl=63)
    assert len(sent) == 4
    for part, want in zip(sent, wanted):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, want)
    sent = datagram(rig.wan(), OUTSIDE_FAR, HOST_ADDRESS, 53, port, ident)
    wanted = datagram(rig.to(rig.a), OUTSIDE_FAR, rig.a.address, 53, port, ident, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_uplink(part), REDIRECT, want)


def test_later_ones_in_any_order(rig):
    port, ident = rig.port(), 4712
    sent = datagram(rig.out(rig.a), rig.a.address, OUTSIDE_FAR, port, 53, ident)
    wanted = datagram(rig.out(rig.a), HOST_ADDRESS, OUTSIDE_FAR, port, 53, ident, ttl=63)
    for index in (0, 3, 1, 2, 1):
        expect(rig.from_endpoint(rig.a, sent[index]), REDIRECT, wanted[index])


def test_to_the_host_and_to_a_neighbour(rig):
    for part in reversed(datagram(rig.out(rig.a), rig.a.address, HOST_ADDRESS, 9, 53, 4716)):
        expect_untouched(rig.from_endpoint(rig.a, part), part)
    for part in reversed(datagram(rig.out(rig.a), rig.a.address, rig.b.address, 9, 53, 4717)):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, translated(part, rig.to(rig.b), ttl=0))


def test_to_another_network(rig):
    """Routed, not translated: each goes its way by itself."""
    parts = datagram(rig.out(rig.a), rig.a.address, rig.c.address, 9, 53, 4721)
    with open_networks(rig):
        for index in (3, 0, 1, 2):
            expect(rig.from_endpoint(rig.a, parts[index]), REDIRECT, translated(parts[index], rig.to(rig.c)))


def test_fragmented_ping(rig):
    ping = rig.sent(rig.a, OUTSIDE_FAR, id=4718) / ICMP(id=9) / Raw(bytes(3000))
    parts = fragment(Ether(bytes(ping)), 1480)
    verdict, out = rig.from_endpoint(rig.a, parts[0])
    chosen, = struct.unpack_from("!H", out, 38)
    wanted = fragment(Ether(bytes(translated(ping, src=HOST_ADDRESS, id=chosen))), 1480)
    expect((verdict, out), REDIRECT, wanted[0])
    for part, want in zip(parts[1:], wanted[1:]):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, want)


def test_first_one_too_short_for_its_ports(rig):
    """RFC 1858: the rest of the TCP header would come in the second fragment, unseen."""
    whole = Ether(bytes(rig.sent(rig.a, OUTSIDE_FAR, id=4719) /
                        TCP(sport=rig.port(), dport=80, flags="S") / Raw(bytes(64))))
    with rig.dropped("malformed"):
        assert rig.from_endpoint(rig.a, fragment(whole, 8)[0])[0] == SHOT


def test_through_an_exposed_port_and_back(rig):
    port = rig.port()
    sent = datagram(rig.wan(), OUTSIDE_FAR, HOST_ADDRESS, port, 5001, 4730)
    wanted = datagram(rig.to(rig.a), OUTSIDE_FAR, rig.a.address, port, 5001, 4730, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_uplink(part), REDIRECT, want)
    sent = datagram(rig.out(rig.a), rig.a.address, OUTSIDE_FAR, 5001, port, 4730)
    wanted = datagram(rig.out(rig.a), HOST_ADDRESS, OUTSIDE_FAR, 5001, port, 4730, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_endpoint(rig.a, part), REDIRECT, want)


def test_hairpin(rig):
    port = rig.port()
    sent = datagram(rig.out(rig.b), rig.b.address, HOST_ADDRESS, port, 5001, 4731)
    wanted = datagram(rig.to(rig.a), HOST_ADDRESS, rig.a.address, port, 5001, 4731, ttl=63)
    for part, want in zip(sent, wanted):
        expect(rig.from_endpoint(rig.b, part), REDIRECT, want)


def test_of_unknown_datagrams_on_the_uplink_are_the_hosts(rig):
    for part in datagram(rig.wan(), OUTSIDE_FAR, HOST_ADDRESS, 53, rig.port(), 4732):
        with rig.dropped():
            expect_untouched(rig.from_uplink(part), part)


def test_straight_to_an_endpoint(rig):
    for part in datagram(rig.wan(), OUTSIDE_FAR, rig.a.address, 53, rig.port(), 4733):
        expect_untouched(rig.from_uplink(part), part)
