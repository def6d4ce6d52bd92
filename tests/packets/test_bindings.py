# SPDX-License-Identifier: GPL-2.0-only
"""NAT bindings: an endpoint's port has one NAT port for all it talks to, for as long as it talks to any.

RFC 4787 REQ-1, 3 and 11 (UDP), RFC 5382 REQ-1 and 7 (TCP), RFC 5508 REQ-1 (ping).
"""
import time

import pytest
from bpf import REDIRECT
from flows import PROTOS, SERVERS, answer, first_packet, open_flow, port_of
from race import race
from rig import NAT_PORTS, expect, translated
from state import slot
from topology import HOST_ADDRESS, wait_for

ENOENT = 2


@pytest.fixture(autouse=True)
def long_timeouts(rig):
    """Nothing of another test ends meanwhile."""
    rig.set_second()
    rig.set_timeouts(syn=3600, udp=3600, icmp=3600)


def out_of_range(rig):
    """A port of an endpoint's that can't be a NAT port, and of no other test."""
    return rig.port() + 30000


def key_of(state, node, proto, port, server=SERVERS[0]):
    """The original's, of a connection that this port of the endpoint's has opened."""
    return state.key(node.address, server[0], port, 0 if proto == "icmp" else server[1], proto)


@pytest.mark.parametrize("proto", PROTOS)
class TestEndpointIndependence:
    def test_one_nat_port_for_all_destinations(self, rig, state, proto):
        port = rig.port()
        chosen = {open_flow(rig, rig.a, proto, port, server) for server in SERVERS}
        assert len(chosen) == 1
        assert proto == "icmp" or chosen == {port}
        for server in SERVERS:
            answer(rig, rig.a, proto, port, *chosen, server)
        # The three servers of one identifier are three connections, two of one server's are not.
        users = len({server[0] for server in SERVERS}) if proto == "icmp" else len(SERVERS)
        assert state.nat_port(proto, *chosen)[:3] == (slot(rig.a), port, users)

    def test_of_a_port_that_cannot_be_kept(self, rig, proto):
        port = out_of_range(rig)
        chosen = {open_flow(rig, rig.a, proto, port, server) for server in SERVERS}
        assert len(chosen) == 1
        assert proto == "icmp" or chosen <= set(NAT_PORTS)
        for server in SERVERS:
            answer(rig, rig.a, proto, port, *chosen, server)

    def test_the_same_under_collision(self, rig, proto):
        """RFC 4787 REQ-11. The destinations differ as well, so sharing the port would work: REQ-3 forbids it."""
        port = rig.port()
        first = open_flow(rig, rig.a, proto, port, SERVERS[0])
        chosen = {open_flow(rig, rig.b, proto, port, server) for server in reversed(SERVERS)}
        assert len(chosen) == 1 and first not in chosen
        assert open_flow(rig, rig.a, proto, port, SERVERS[3]) == first
        for server in SERVERS:
            answer(rig, rig.b, proto, port, *chosen, server)
        answer(rig, rig.a, proto, port, first, SERVERS[0])

    def test_many_ports_of_one_endpoint_to_one_server(self, rig, proto):
        ports = [out_of_range(rig) for _ in range(50)]
        assert len({open_flow(rig, rig.a, proto, port) for port in ports}) == len(ports)

    def test_protocols_have_ports_of_their_own(self, rig, proto):
        port = rig.port()
        for other in PROTOS:
            if other != "icmp":
                assert open_flow(rig, rig.a, other, port) == port

    def test_while_there_is_a_connection(self, rig, state, proto):
        """Whichever was the first one: the last one ends the binding."""
        port = out_of_range(rig)
        chosen = open_flow(rig, rig.a, proto, port, SERVERS[0])
        open_flow(rig, rig.a, proto, port, SERVERS[2])
        assert rig.end_connection(key_of(state, rig.a, proto, port)) == 0
        assert state.nat_port(proto, chosen)[:3] == (slot(rig.a), port, 1)
        assert open_flow(rig, rig.a, proto, port, SERVERS[3]) == chosen
        for server in SERVERS[2:]:
            assert rig.end_connection(key_of(state, rig.a, proto, port, server)) == 0
        assert state.nat_port(proto, chosen).users == 0


@pytest.mark.parametrize("proto", PROTOS)
@pytest.mark.parametrize("collision", [False, True])
@pytest.mark.parametrize("how", ["by its timer", "by a command"])
def test_nothing_is_left_of_it(make_rig, proto, how, collision):
    rig, state = make_rig()
    if how == "by its timer":
        rig.set_second(10)
        rig.set_timeouts(syn=20, udp=20, icmp=20)
    port = rig.port()
    nodes = [rig.b, rig.a] if collision else [rig.a]
    chosen = [open_flow(rig, node, proto, port) for node in nodes]
    assert state.usage() == (len(nodes), len(nodes)) and state.usage(rig.a) == (1, 1)
    assert proto == "icmp" or len(state.bindings()) == len(nodes) - 1
    if how == "by a command":
        for node in nodes:
            key = key_of(state, node, proto, port)
            assert rig.end_connection(key) == 0
            assert rig.end_connection(key) == ENOENT
    wait_for(lambda: not state.entries())
    assert state.usage() == state.usage(rig.a) == (0, 0)
    assert not state.bindings()
    assert [state.nat_port(proto, port).users for port in chosen] == [0] * len(nodes)
    state.check()


@pytest.mark.parametrize("proto", PROTOS)
@pytest.mark.parametrize("whose", ["its own still", "another's"])
def test_an_entry_that_leads_to_no_binding_is_replaced(rig, state, proto, whose):
    """Two releases at once may leave one. It must not cost the port its endpoint-independent mapping for ever."""
    port = out_of_range(rig)
    stale = open_flow(rig, rig.a, proto, port)
    before = state.kept_bindings()
    assert rig.end_connection(key_of(state, rig.a, proto, port)) == 0
    state.restore_bindings(before)
    if whose == "another's":
        state.free_for(rig.b, proto, stale)
    chosen = {open_flow(rig, rig.a, proto, port, server) for server in SERVERS}
    assert len(chosen) == 1
    state.check()


class Late:
    """What the other CPU does, two milliseconds later."""

    packet = b""

    def __init__(self, work):
        self.work = work

    def __call__(self):
        time.sleep(0.002)
        self.work()
        return 0


@pytest.mark.parametrize("proto", PROTOS)
class TestTwoCpus:
    """Cilium #33074, #33045: a port looked up and then inserted is another flow's by then."""

    PAIRS = 100
    TRIES = 10  # on a busy machine who is late may come later than anybody waits

    def both(self, rig, packets):
        pairs = [tuple(rig.programs["from_endpoint"].prepare(packet, node.ifindex) for node, packet in pair)
                 for pair in packets]
        return race(rig.host.path, pairs)

    @pytest.mark.parametrize("kept", [True, False])
    def test_pitfall_kubernetes_56903_one_new_flow(self, rig, state, proto, kept):
        """Both packets pass, by the same translation: a name server's answers were lost there, for 5 s."""
        ports = [rig.port() if kept else out_of_range(rig) for _ in range(self.PAIRS)]
        packets = [first_packet(rig, rig.a, proto, port) for port in ports]
        for packet, port, (first, second) in zip(packets, ports, self.both(rig, [((rig.a, packet),) * 2
                                                                                 for packet in packets])):
            chosen = port_of(proto, first[1])
            ends = {"id" if proto == "icmp" else "sport": chosen}
            expect(first, REDIRECT, translated(packet, src=HOST_ADDRESS, **ends))
            expect(second, REDIRECT, translated(packet, src=HOST_ADDRESS, **ends))
            assert proto == "icmp" or not kept or chosen == port
        state.check()

    def test_the_other_cpu_is_held_up(self, rig, state, proto):
        """Its host took it away after it had made the reply known. CI met it: the second packet had been dropped."""
        port = rig.port()
        packet = first_packet(rig, rig.a, proto, port)
        chosen = open_flow(rig, rig.a, proto, port)
        entry = state.entries()[key_of(state, rig.a, proto, port)]
        second = rig.programs["from_endpoint"].prepare(packet, rig.a.ifindex)
        for _ in range(self.TRIES):
            (result, _), = race(rig.host.path, [(second, Late(state.hide(entry)))], meeting=False)
            if result[0] == REDIRECT:
                break
        ends = {"id" if proto == "icmp" else "sport": chosen}
        expect(result, REDIRECT, translated(packet, src=HOST_ADDRESS, **ends))
        state.check()

    @pytest.mark.parametrize("kept", [True, False])
    def test_pitfall_cilium_33074_two_flows_of_one_port(self, rig, state, proto, kept):
        """To two servers: one binding, two connections."""
        ports = [rig.port() if kept else out_of_range(rig) for _ in range(self.PAIRS)]
        packets = [[(rig.a, first_packet(rig, rig.a, proto, port, server)) for server in SERVERS[2:]] for port in ports]
        for port, (first, second) in zip(ports, self.both(rig, packets)):
            assert (first[0], second[0]) == (REDIRECT, REDIRECT)
            chosen = port_of(proto, first[1])
            assert port_of(proto, second[1]) == chosen
            assert state.nat_port(proto, chosen)[:3] == (slot(rig.a), port, 2)
        state.check()

    def test_pitfall_cilium_33045_two_endpoints_with_one_port(self, rig, state, proto):
        """To one server: two bindings."""
        ports = [rig.port() for _ in range(self.PAIRS)]
        packets = [[(node, first_packet(rig, node, proto, port)) for node in (rig.a, rig.b)] for port in ports]
        for port, (first, second) in zip(ports, self.both(rig, packets)):
            assert (first[0], second[0]) == (REDIRECT, REDIRECT)
            assert port_of(proto, first[1]) != port_of(proto, second[1])
        state.check()

    def test_one_ends_as_another_begins(self, rig, state, proto):
        """The binding's last connection ends while its next one is opened: it goes on, or begins anew, but is whole."""
        ports = [out_of_range(rig) for _ in range(self.PAIRS)]
        pairs = []
        for port in ports:
            open_flow(rig, rig.a, proto, port, SERVERS[2])
            packet = first_packet(rig, rig.a, proto, port, SERVERS[3])
            key = key_of(state, rig.a, proto, port, SERVERS[2])
            pairs.append((rig.programs["from_endpoint"].prepare(packet, rig.a.ifindex),
                          rig.programs["end_connection"].prepare(bytes(14) + key, 1)))
        for port, (opened, ended) in zip(ports, race(rig.host.path, pairs)):
            assert (opened[0], ended[0]) == (REDIRECT, 0)
            assert state.nat_port(proto, port_of(proto, opened[1]))[:3] == (slot(rig.a), port, 1)
        state.check()

    def test_both_end_it(self, rig, state, proto):
        ports = [out_of_range(rig) for _ in range(self.PAIRS)]
        before = state.usage(rig.a)
        pairs = []
        for port in ports:
            open_flow(rig, rig.a, proto, port)
            ending = bytes(14) + key_of(state, rig.a, proto, port)
            pairs.append([rig.programs["end_connection"].prepare(ending, 1) for _ in range(2)])
        for first, second in race(rig.host.path, pairs):
            assert sorted((first[0], second[0])) == [0, ENOENT]
        assert state.usage(rig.a) == before
        state.check()
