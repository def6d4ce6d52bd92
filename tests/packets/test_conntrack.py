# SPDX-License-Identifier: GPL-2.0-only
"""Connections: how long they live, what keeps them, and two CPUs with one first packet. (TCP's: test_tcp_states.py.)"""
import functools
import time

import pytest
from bpf import REDIRECT, SHOT
from connections import CONN_ROUTED, CONN_TAGS
from flows import PROTOS, SERVERS, answer, assured, first_packet, from_outside, open_flow, port_of
from icmp import message
from race import race
from rig import expect, translated
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS, OUTSIDE_FAR, wait_for

ENOENT = 2
# include/nsbpf/types.h: the unit of its clock
CLOCK_SHIFT = 20


@pytest.fixture(autouse=True)
def settings(shared_rig):
    yield
    shared_rig.set_second()
    shared_rig.set_timeouts(syn=240, established=7440, fin=7440, closing=240, reset=240, udp=300, icmp=60)


def original(state, node, proto, port, server=SERVERS[0]):
    return state.entry(node.address, server[0], port, 0 if proto == "icmp" else server[1], proto)


@pytest.mark.families("both")
@pytest.mark.parametrize("proto, seconds", [("udp", 300), ("icmp", 60), ("tcp", 240)])
def test_idle_for_as_long_as_configured(rig, state, proto, seconds):
    """With the defaults, a second being 10 ms: there at nine tenths of the time, gone at twelve."""
    rig.set_second(10)
    port = rig.port()
    began = time.monotonic()
    for _ in rig.both():
        open_flow(rig, rig.a, proto, port)
    time.sleep(max(0.0, began + 0.009 * seconds - time.monotonic()))
    for _ in rig.both():
        assert original(state, rig.a, proto, port)
        assert len(state.entries_of(proto, port)) >= 2
    wait_for(lambda: not state.entries_of(proto, port), 0.006 * seconds)


@pytest.mark.families("both")
@pytest.mark.parametrize("direction", ["out", "in"])
@pytest.mark.parametrize("proto", ["udp", "icmp"])
def test_pitfall_cilium_25110_traffic_of_either_direction_keeps_it(rig, state, proto, direction):
    """Both entries, for three times as long as an idle one lives: they have one lifetime."""
    rig.set_second(300)
    rig.set_timeouts(udp=1, icmp=1)
    port = rig.port()
    chosen = {family: open_flow(rig, rig.a, proto, port) for family in rig.both()}
    end = time.monotonic() + 0.9
    while time.monotonic() < end:
        for family in rig.both():
            if direction == "out":
                assert open_flow(rig, rig.a, proto, port) == chosen[family]
            else:
                answer(rig, rig.a, proto, port, chosen[family])
        assert len(state.entries_of(proto, port)) == 4
        time.sleep(0.05)
    wait_for(lambda: not state.entries_of(proto, port), 3)


@pytest.mark.families("both")
def test_pitfall_cilium_27665_an_idle_tcp_session_outlives_keepalives(rig, state):
    """Linux sends the first one after 7200 s; a second is 1 ms here. The SYN's 240 s go by, and it is looked at."""
    rig.set_second(1)
    port = rig.port()
    for _ in rig.both():
        assured(rig, rig.a, "tcp", port)
    began = time.monotonic()
    time.sleep(6.5)
    assert all(original(state, rig.a, "tcp", port) for _ in rig.both())
    wait_for(lambda: not state.entries_of("tcp", port), began + 12 - time.monotonic())


@pytest.mark.parametrize("proto", PROTOS)
def test_pitfall_cilium_12686_both_entries_go_together(rig, state, proto):
    """Hundreds at once, with answers while they end: no half is ever left, as an orphan or as a dead end."""
    rig.set_second(100)
    rig.set_timeouts(syn=2, udp=2, icmp=2)
    flows = {port: open_flow(rig, rig.a, proto, port) for port in (rig.port() for _ in range(200))}
    answers = [from_outside(rig, proto, chosen) for chosen in flows.values()]
    for packet in answers[::2]:
        rig.from_uplink(packet)
    wait_for(lambda: not [port for port in flows if original(state, rig.a, proto, port)], 5)
    state.check()


class TestUsedAgain:
    """The map uses a deleted entry again at once, while another CPU may look at it still; here by hand."""

    @staticmethod
    def tag(rig, entry, tag):
        """It is another's. And its route is new: a packet that had to look for one would notice the change earlier."""
        rig.connections.write(entry, CONN_ROUTED, time.monotonic_ns() >> CLOCK_SHIFT & 0xffffffff)
        rig.connections.write(entry, CONN_TAGS + 4 * entry.direction, tag)

    def test_no_packet_goes_anothers_way(self, rig, state):
        """Nor does an error about one."""
        port, (server, dport) = rig.port(), SERVERS[0]
        chosen = open_flow(rig, rig.a, "udp", port)
        entry = original(state, rig.a, "udp", port)
        reply = state.entry(server, HOST_ADDRESS, dport, chosen, "udp")
        sent = first_packet(rig, rig.a, "udp", port)
        quoted = bytes(translated(sent, src=HOST_ADDRESS).payload)
        error = rig.arrived(proto=rig.family.icmp) / message(rig, "port unreachable", quoted)
        for broken, packet, reason in ((entry, sent, "untracked"), (reply, error, "icmp-error"),
                                       (reply, from_outside(rig, "udp", chosen), "untracked")):
            run = rig.from_uplink if packet.payload.dst == rig.uplink.address else functools.partial(rig.from_endpoint, rig.a)
            self.tag(rig, broken, broken.tag ^ 2)
            with rig.dropped(reason):
                verdict, out = run(packet)
            assert verdict == SHOT or packet is sent and Ether(out).payload.dst == rig.a.address
            self.tag(rig, broken, broken.tag)
            with rig.dropped():
                assert run(packet)[0] == REDIRECT

    @pytest.mark.parametrize("how", ["it is another's", "it has ended"])
    def test_only_a_connection_that_is_there_ends(self, rig, state, how):
        port, other = rig.port(), rig.port()
        for number in (port, other):
            open_flow(rig, rig.a, "udp", number)
        entry, another = (original(state, rig.a, "udp", number) for number in (port, other))
        if how == "it is another's":
            self.tag(rig, entry, entry.tag ^ 2)
        else:
            rig.connections.set_deadline(entry, 0)
        assert rig.end_connection(entry.key) == ENOENT
        self.tag(rig, entry, entry.tag)
        rig.connections.set_deadline(entry, entry.deadline)
        state.check()
        assert [rig.end_connection(key) for key in (another.key, entry.key, entry.key)] == [0, 0, ENOENT]
        state.check()


@pytest.mark.parametrize("answered", [False, True])
def test_ended_by_a_command(rig, state, answered):
    port = rig.port()
    chosen = open_flow(rig, rig.a, "udp", port)
    if answered:
        answer(rig, rig.a, "udp", port, chosen)
    key = original(state, rig.a, "udp", port).key
    assert rig.end_connection(state.entry(SERVERS[0][0], HOST_ADDRESS, SERVERS[0][1], chosen, "udp").key) == ENOENT
    assert rig.end_connection(key) == 0
    assert not state.entries_of("udp", chosen)
    assert rig.end_connection(key) == ENOENT
    state.check()


def test_pitfall_kubernetes_56903_two_cpus_with_one_first_packet(rig, state):
    """From a client outside to an exposed port."""
    packets = [rig.arrived() / UDP(sport=rig.port(), dport=5001) / Raw(b"x") for _ in range(200)]
    pairs = [[rig.programs["from_uplink"].prepare(packet, rig.uplink.ifindex) for _ in range(2)] for packet in packets]
    before = state.usage(rig.a).connections
    for packet, results in zip(packets, race(rig.host.path, pairs)):
        for result in results:
            expect(result, REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))
    assert state.usage(rig.a).connections == before + len(packets)
    state.check()


def test_pitfall_cilium_38498_a_packet_as_its_connection_ends(rig, state):
    """One CPU has the timer's part, another a packet: it passes, with what was or with a connection of its own."""
    ports = [rig.port() for _ in range(200)]
    pairs = []
    for port in ports:
        open_flow(rig, rig.a, "udp", port)
        packet = rig.sent(rig.a, SERVERS[0][0]) / UDP(sport=port, dport=SERVERS[0][1]) / Raw(b"x")
        pairs.append((rig.programs["from_endpoint"].prepare(packet, rig.a.ifindex),
                      rig.programs["end_connection"].prepare(
                          bytes(14) + original(state, rig.a, "udp", port).key, 1)))
    for sent, ended in race(rig.host.path, pairs):
        assert sent[0] == REDIRECT and ended[0] == 0
    state.check()
    assert state.usage(rig.a).ports <= state.usage(rig.a).connections


def test_pitfall_cilium_35010_deletes_beside_inserts(rig, state):
    """One CPU ends connections while another opens others: every one of them gets in."""
    old = [rig.port() for _ in range(200)]
    for port in old:
        open_flow(rig, rig.a, "udp", port)
    new = [first_packet(rig, rig.b, "udp", rig.port()) for _ in old]
    pairs = [(rig.programs["from_endpoint"].prepare(packet, rig.b.ifindex),
              rig.programs["end_connection"].prepare(bytes(14) + original(state, rig.a, "udp", port).key, 1))
             for packet, port in zip(new, old)]
    with rig.dropped():
        for packet, (opened, ended) in zip(new, race(rig.host.path, pairs)):
            expect(opened, REDIRECT, translated(packet, src=HOST_ADDRESS))
            assert ended[0] == 0
    state.check()


def test_pitfall_cilium_47641_a_closed_connection_captures_no_new_flow(rig):
    """Of a client and an exposed port. The endpoint opens one from that port to that client's: it has its answers."""
    client = rig.port()
    for flags in ("S", "FA"):
        packet = rig.arrived() / TCP(sport=client, dport=5000, flags=flags, seq=1, ack=1)
        assert rig.from_uplink(packet)[0] == REDIRECT
        back = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=5000, dport=client, flags=flags + "A", seq=1, ack=2)
        expect(rig.from_endpoint(rig.a, back), REDIRECT, translated(back, src=HOST_ADDRESS))
    opening = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=5000, dport=client, flags="S", seq=900)
    verdict, out = rig.from_endpoint(rig.a, opening)
    chosen = port_of("tcp", out)
    expect((verdict, out), REDIRECT, translated(opening, src=HOST_ADDRESS, sport=chosen))
    answer(rig, rig.a, "tcp", 5000, chosen, (OUTSIDE_FAR, client))


def test_pitfall_cilium_24191_commands_leave_connections_alone(rig, state):
    """Whatever is added, removed or listed: what lives, lives on, with the same NAT port."""
    host, flows = rig.host, {(proto, port): open_flow(rig, rig.a, proto, port) for proto in PROTOS
                             for port in (rig.port(), rig.port() + 30000)}
    before = state.entries().keys()
    other = host.name("other")
    for command in (["add", other], ["add", other], ["expose", other, "9000"], ["unexpose", other, "9000"],
                    ["network", "add", "net", "--subnet", "10.97.0.0/24"], ["network", "del", "net"],
                    ["uplink", "list"], [], ["del", other]):
        host.nsbpf(*command)
        assert before <= state.entries().keys(), command
    for (proto, port), chosen in flows.items():
        answer(rig, rig.a, proto, port, chosen)
        assert open_flow(rig, rig.a, proto, port, SERVERS[3]) == chosen
    state.check()


def test_the_maps_agree(state):
    state.check()
