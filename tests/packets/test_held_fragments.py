# SPDX-License-Identifier: GPL-2.0-only
"""Fragments that come before the first one: held for so long and so many, and given back in order.

What goes round again really leaves: bpf_clone_redirect() sends, whoever made the program run. So this is one of the few
packet tests with something to capture.
"""
import itertools
import struct
import time

import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import PASS, REDIRECT, SHOT, Map
from icmp import run
from rig import SECOND_ADDRESS, expect, expect_untouched, family_of, translated
from siblings import rebuilt
from state import packed
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR

# include/nsbpf/types.h
SLOTS, OF_ONE, KEY_SIZE, DATAGRAM_SIZE, FRAME, FRAME_SIZE = 256, 48, 40, 100, 48, 9216


class Held:
    """The pool, and which datagram has what of it."""

    def __init__(self, rig):
        self.datagrams = Map(f"{rig.pins}/maps/held_datagrams", KEY_SIZE, DATAGRAM_SIZE)
        self.pool = Map(f"{rig.pins}/maps/held_fragments", 4, FRAME + FRAME_SIZE)

    def close(self):
        self.datagrams.close()
        self.pool.close()

    def of(self, packet):
        """The frames that are held of this packet's datagram, in the order in which they came."""
        src, dst, ident, proto = family_of(packet).fragment(packet)
        ident = struct.pack("!I", ident) if ":" in src else struct.pack("!HH", ident, 0)
        key = packed(src) + packed(dst) + ident + struct.pack("=B3x", proto)
        try:
            count, *slots = struct.unpack(f"=I{OF_ONE}H", self.datagrams.lookup(key))
        except FileNotFoundError:
            return []
        values = [self.pool.lookup(struct.pack("=I", slot)) for slot in slots[:count]]
        return [value[FRAME:FRAME + struct.unpack_from("=I", value, KEY_SIZE)[0]] for value in values
                if value[:KEY_SIZE] == key]


@pytest.fixture(scope="module")
def held(shared_rig):
    held = Held(shared_rig)
    yield held
    held.close()


class Datagram:
    """UDP in four fragments: `sent` by `node` (None: the outside), `wanted` at the other end, where `got` looks."""
    ends = {"masquerade": ("a", OUTSIDE_FAR, 53, None), "exposed": (None, HOST_ADDRESS, 5001, "a"),
            "hairpin": ("b", HOST_ADDRESS, 5001, "a")}

    idents = itertools.count(5000)

    def __init__(self, rig, held, way, address=None, ident=None):
        node, asked, dport, target = self.ends[way]
        self.rig, self.held, self.ident, address = rig, held, ident or next(self.idents), address or asked
        self.node, target = (getattr(rig, name) if name else None for name in (node, target))
        source, port = self.node.address if self.node else OUTSIDE_FAR, rig.port()
        self.sent = rig.datagram(rig.out(self.node) if self.node else rig.wan(), source, address, port, dport, self.ident)
        self.wanted = rig.datagram(rig.to(target) if target else rig.out(self.node), HOST_ADDRESS if self.node else source,
                               target.address if target else address, port, dport, self.ident, ttl=63)
        self.capture = target.netns.capture("eth0") if target else rig.host.outside.capture("wan0")

    def run(self, index, **ctx):
        return run(self.rig, self.node, self.sent[index], **ctx)

    @property
    def to_the_host(self):
        return self.sent[0].payload.dst in map(self.rig.family.address, (HOST_ADDRESS, SECOND_ADDRESS))

    def waits(self, *indices):
        """Held, and nothing counted: one for the outside waits for its first one, one for the host may be its own."""
        for index in indices:
            before = self.held.of(self.sent[0])
            with self.rig.dropped():
                if self.to_the_host:
                    expect_untouched(self.run(index), self.sent[index])
                else:
                    assert self.run(index)[0] == SHOT
            assert self.held.of(self.sent[0]) == [*before, bytes(self.sent[index])]

    def passes(self, *indices):
        for index in indices:
            expect(self.run(index), REDIRECT, self.wanted[index])

    def goes_round(self, *held):
        """The first fragment, and behind it what was held: that is what comes out at the other end."""
        with self.rig.dropped():
            assert self.run(0, summed=False)[0] == SHOT
        self.arrives(0, *held)
        assert not self.held.of(self.sent[0])

    def arrives(self, *indices):
        got = self.capture.expect(self.is_part, count=len(indices))
        assert [p.frame[14:] for p in got] == [bytes(self.wanted[index])[14:] for index in indices]


    def is_part(self, captured):
        frame, family = captured.ether, self.rig.family
        return family.IP in frame and family.offset(frame) is not None and family.fragment(frame)[2] == self.ident


ways = pytest.mark.parametrize("way", Datagram.ends)
both_sides = pytest.mark.parametrize("way", ["masquerade", "exposed"])


@ways
@pytest.mark.parametrize("order", [(1, 2, 3), (3, 2, 1), (2, 1, 3)])
def test_pitfall_cilium_25709_first_one_last(rig, held, way, order):
    parts = Datagram(rig, held, way)
    parts.waits(*order)
    parts.goes_round(*order)
    parts.passes(2)  # a duplicate that comes late goes where they went


@ways
def test_first_one_in_the_middle(rig, held, way):
    parts = Datagram(rig, held, way)
    parts.waits(2)
    parts.goes_round(2)
    parts.passes(3, 1)


@ways
def test_the_first_one_alone_does_not_go_round(rig, held, way):
    Datagram(rig, held, way).passes(0, 1, 2, 3)


@both_sides
def test_of_another_datagram(rig, held, way):
    """Another identification or another destination: what is held is not this first one's."""
    address = OUTSIDE_ADDRESS if way == "masquerade" else SECOND_ADDRESS
    parts = Datagram(rig, held, way)
    for other in (Datagram(rig, held, way), Datagram(rig, held, way, address, parts.ident)):
        other.waits(1)
        parts.passes(0, 1)
        assert held.of(other.sent[0])


@both_sides
def test_held_ones_expire(rig, held, way):
    """The first one comes through, but what is too old to belong to it does not."""
    rig.set_timeouts(fragment=1)
    try:
        parts, control = Datagram(rig, held, way), Datagram(rig, held, way)
        parts.waits(1, 2)
        time.sleep(1.2)  # an expired one stays in its slot: there is nothing to poll
        parts.waits(3)
        parts.goes_round(3)
        control.waits(1)
        control.goes_round(1)
    finally:
        rig.set_timeouts(fragment=30)


@both_sides
def test_first_ones_are_forgotten(rig, held, way):
    rig.set_timeouts(fragment=1)
    try:
        parts = Datagram(rig, held, way)
        parts.passes(0, 1)
        time.sleep(1.2)
        parts.waits(2)
    finally:
        rig.set_timeouts(fragment=30)


@both_sides
def test_so_many_of_one_datagram(rig, held, way):
    """A few more than 64 KiB are. What finds no room is counted where it is lost, and others still find some."""
    parts, other = Datagram(rig, held, way), Datagram(rig, held, way)
    original = parts.sent[1]
    for number in range(OF_ONE + 3):
        parts.sent[1] = rig.family.moved(original, frag=rig.family.offset(original) // 8 + number)
        if number < OF_ONE:
            parts.waits(1)
        elif parts.node:
            with rig.dropped("fragment"):
                assert parts.run(1)[0] == SHOT
        else:
            with rig.dropped():
                expect_untouched(parts.run(1), parts.sent[1])
    assert len(held.of(original)) == OF_ONE
    other.waits(2, 1)
    other.goes_round(2, 1)


@both_sides
def test_the_oldest_ones_give_way(rig, held, way):
    """A flood takes every slot of the pool: what was there is lost, and nobody gets another's."""
    parts, later = Datagram(rig, held, way), Datagram(rig, held, way)
    parts.waits(1, 2)
    ident, flood = None, []  # of few datagrams: an LRU map forgets long before it is full, and it is the pool that counts here
    for number in range(SLOTS):
        ident = next(parts.idents) if number % 40 == 0 else ident
        packet = rig.family.moved(parts.sent[3], ident, 200 + number)
        flood.append(packet)
        with rig.dropped():
            assert run(rig, parts.node, packet)[0] == (SHOT if parts.node else PASS)
    with rig.dropped():
        result = parts.run(0, summed=False)
    if result[0] == SHOT:
        parts.arrives(0)
    else:
        expect(result, REDIRECT, parts.wanted[0])
    parts.passes(3)
    assert [frame for packet in flood[::40] for frame in held.of(packet)] == list(map(bytes, flood))
    later.waits(2)
    later.goes_round(2)


def test_to_the_host_and_to_a_neighbour(rig, held):
    """Whose fragments need no translation need not wait."""
    for address, target in ((HOST_ADDRESS, None), (rig.b.address, rig.b)):
        for part in reversed(rig.datagram(rig.out(rig.a), rig.a.address, address, 9, rig.port(), 4900)):
            with rig.dropped():
                if target:
                    expect(rig.from_endpoint(rig.a, part), REDIRECT, translated(part, rig.to(target), ttl=0))
                else:
                    expect_untouched(rig.from_endpoint(rig.a, part), part)


@pytest.mark.parametrize("address", [HOST_ADDRESS, SECOND_ADDRESS])
def test_the_hosts_own(rig, held, address):
    """The host's stack gets all of them, in whatever order, once each; what was held of them is forgotten."""
    for order in ((0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)):
        parts = rig.datagram(rig.wan(), OUTSIDE_FAR, address, 53, rig.port(), next(Datagram.idents))
        for index in order:
            with rig.dropped():
                expect_untouched(rig.from_uplink(parts[index]), parts[index])
        assert not held.of(parts[0])


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2)])
def test_those_to_the_host_are_counted(rig, held, order):
    """As sent, once each, whichever comes first."""
    before = rig.a.netns.info["tx_packets"]
    parts = rig.datagram(rig.out(rig.a), rig.a.address, HOST_ADDRESS, 9, rig.port(), next(Datagram.idents))
    for index in order:
        expect_untouched(rig.from_endpoint(rig.a, parts[index]), parts[index])
    assert rig.a.netns.info["tx_packets"] - before == len(parts)


def test_spoofed_ones_are_not_held(rig, held):
    part = rig.out(rig.a) / rig.ip(rig.b.address, id=4901, frag=9, proto=17) / Raw(bytes(64))
    with rig.dropped("spoofed-ip"):
        assert rig.from_endpoint(rig.a, part)[0] == SHOT
    assert not held.of(part)


@pytest.mark.families(4)  # in IPv6 later fragments do not say of which protocol they are
@pytest.mark.parametrize("proto", [47, 50, 132])
def test_of_protocols_that_are_not_translated(rig, held, proto):
    """Nobody would ever ask for them: they must not push out those that somebody waits for."""
    for part in (rig.sent(rig.a, OUTSIDE_FAR, id=4902, frag=9, proto=proto) / Raw(bytes(64)),
                 rig.arrived(id=4902, frag=9, proto=proto) / Raw(bytes(64))):
        run(rig, rig.a if part.payload.src == rig.a.address else None, part)
        assert not held.of(part)
    with rig.dropped("protocol", "fragment"):
        assert rig.from_endpoint(rig.a, rig.sent(rig.a, OUTSIDE_FAR, frag=9, proto=proto))[0] == SHOT


@ways
def test_overlapping(rig, held, way):
    """RFC 1858: a later fragment may lie over the first one's header. It is not looked at, nor does it change anything."""
    parts = Datagram(rig, held, way)
    parts.passes(0)
    before = rig.connection_pairs()
    for packets in (parts.sent, parts.wanted):
        over = rig.family.moved(packets[1], frag=1)
        over.lastlayer().load = bytes(UDP(sport=1, dport=2)) * 8
        packets[1] = Ether(rebuilt(over))
    parts.passes(1, 2, 3)
    assert rig.connection_pairs() == before
