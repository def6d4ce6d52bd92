# SPDX-License-Identifier: GPL-2.0-only
"""An endpoint sends to another's NAT port, as peers do that know each other by what the outside sees of them.

RFC 4787 REQ-9, RFC 5382 REQ-8: with the sender's own NAT port as source; and what it may is what an outsider may.
"""
import pytest
from bpf import REDIRECT, SHOT
from flows import SERVERS, message, open_flow
from rig import SECOND_ADDRESS, expect, expect_untouched, l4, translated
from scapy.packet import Raw
from state import slot
from topology import HOST_ADDRESS

PAIRS = [("a", "b"), ("a", "c"), ("c", "a"), ("a", "a")]


class Peer:
    """An endpoint's port that has a binding."""

    def __init__(self, rig, proto, node, port=None):
        self.rig, self.proto, self.node, self.port = rig, proto, node, port or rig.port() + 30000
        self.known_as = open_flow(rig, node, proto, self.port)

    def packet(self, other, **more):
        return self.rig.sent(self.node, HOST_ADDRESS) / message(self.rig, self.proto, self.port, other.known_as, **more)

    def reaches(self, other, **more):
        packet = self.packet(other, **more)
        with self.rig.dropped():
            expect(self.rig.from_endpoint(self.node, packet), REDIRECT,
                   translated(packet, self.rig.to(other.node), src=HOST_ADDRESS, dst=other.node.address,
                              sport=self.known_as, dport=other.port))

    def is_filtered(self, other, **more):
        with self.rig.dropped("filtered"):
            assert self.rig.from_endpoint(self.node, self.packet(other, **more))[0] == SHOT


@pytest.fixture(scope="module")
def cone(shared_rig):
    shared_rig.host.nsbpf("network", "add", "cone", "--subnet", "10.98.0.0/24", "--filtering", "endpoint-independent")
    return shared_rig.add("cone", "--network", "cone")


@pytest.mark.parametrize("proto", ["tcp", "udp"])
class TestDefaultFiltering:
    @pytest.mark.parametrize("first, second", PAIRS)
    def test_both_have_to_send(self, rig, state, proto, first, second):
        first, second = (Peer(rig, proto, getattr(rig, name)) for name in (first, second))
        for _ in range(2):
            first.is_filtered(second)
        second.reaches(first)
        for _ in range(2):
            first.reaches(second, answer=True)
            second.reaches(first, answer=True)
        state.check()

    def test_one_connection_for_both(self, rig, state, proto):
        first, second = (Peer(rig, proto, node) for node in (rig.a, rig.b))
        before = state.usage()
        first.is_filtered(second)
        second.reaches(first)
        assert state.usage() == before._replace(connections=before.connections + 1)
        assert state.nat_port(proto, first.known_as)[:3] == (slot(rig.a), first.port, 2)
        key = state.key(rig.a.address, HOST_ADDRESS, first.port, second.known_as, proto)
        assert rig.end_connection(key) == 0
        assert state.usage() == before
        first.is_filtered(second)

    def test_a_third_has_to_be_asked_itself(self, rig, state, proto):
        first, second, third = (Peer(rig, proto, node) for node in (rig.a, rig.b, rig.b))
        first.is_filtered(second)
        second.reaches(first)
        third.is_filtered(first)
        first.is_filtered(Peer(rig, proto, rig.c))

    def test_what_waits_keeps_no_port_bound(self, rig, state, proto):
        """Else one endpoint could use up the ports of another, with packets that it never sees."""
        first, second = (Peer(rig, proto, node) for node in (rig.a, rig.b))
        first.is_filtered(second)
        assert state.nat_port(proto, second.known_as).users == 1
        assert rig.end_connection(state.key(rig.b.address, SERVERS[0][0], second.port, SERVERS[0][1], proto)) == 0
        assert state.nat_port(proto, second.known_as).users == 0
        state.check()

    def test_simultaneous(self, rig, proto):
        """Each is filtered once at most, and the two agree on one connection."""
        for _ in range(3):
            first, second = (Peer(rig, proto, node) for node in (rig.a, rig.b))
            first.is_filtered(second)
            second.reaches(first)
            first.reaches(second)

    def test_ports_under_collision(self, rig, proto):
        """RFC 4787 REQ-11."""
        port = rig.port()
        first, second = (Peer(rig, proto, node, port) for node in (rig.a, rig.b))
        assert first.known_as != second.known_as
        first.is_filtered(second)
        second.reaches(first)
        first.reaches(second)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
class TestFullCone:
    def test_at_once(self, rig, state, proto, cone):
        first, second = Peer(rig, proto, rig.a), Peer(rig, proto, cone)
        first.reaches(second)
        second.reaches(first, answer=True)
        first.reaches(second)
        state.check()

    def test_the_networks_own(self, rig, proto, cone):
        first, second = Peer(rig, proto, cone), Peer(rig, proto, cone)
        first.reaches(second)
        second.reaches(first, answer=True)

    def test_its_filter_is_not_the_senders(self, rig, proto, cone):
        first, second = Peer(rig, proto, cone), Peer(rig, proto, rig.a)
        first.is_filtered(second)
        second.reaches(first)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
class TestNotBound:
    def asked(self, rig, proto, port, address=HOST_ADDRESS):
        packet = rig.sent(rig.a, address) / l4(proto, rig.port(), port) / Raw(b"x")
        expect_untouched(rig.from_endpoint(rig.a, packet), packet)

    def test_is_the_hosts(self, rig, proto):
        self.asked(rig, proto, rig.port())

    def test_on_another_address(self, rig, proto):
        self.asked(rig, proto, Peer(rig, proto, rig.b).known_as, SECOND_ADDRESS)

    def test_for_the_other_protocol(self, rig, proto):
        self.asked(rig, proto, Peer(rig, "udp" if proto == "tcp" else "tcp", rig.b).known_as)

    def test_a_host_socket_came_later(self, rig, proto):
        peer = Peer(rig, proto, rig.b)
        with rig.serve(rig.host, proto, peer.known_as):
            self.asked(rig, proto, peer.known_as)


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_a_socket_that_asks_itself(rig, state, proto):
    """By its own NAT port. The packet and its answer would be one tuple, which can't be two directions."""
    peer = Peer(rig, proto, rig.a)
    before = state.usage()
    peer.is_filtered(peer)
    assert state.usage() == before
    state.check()
