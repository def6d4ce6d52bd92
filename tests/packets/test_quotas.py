# SPDX-License-Identifier: GPL-2.0-only
"""How many connections an endpoint may have, which of them give way, and what others notice of a flood: nothing."""
import itertools

import pytest
from bpf import REDIRECT, SHOT
from flows import PROTOS, SERVERS, Flood, answer, assured, first_packet, open_flow, prohibited, refused
from race import both_cpus
from rig import expect, translated
from scapy.layers.inet import TCP, UDP
from scapy.packet import Raw
from siblings import FAMILIES
from state import MAX_CONNECTIONS
from tcp_talk import OPEN, Talk
from topology import OUTSIDE_FAR, wait_for

LIMIT = 5
FAIR = MAX_CONNECTIONS * 8 // 9  # of one endpoint alone: eight times what it leaves to others
FLOOD = 70000

names = itertools.count()


@pytest.fixture
def limited(rig):
    """An endpoint of the test's own that may have five connections."""
    return rig.add(f"limited{next(names)}", "--max-connections", LIMIT)


def begin(rig, node, proto, server=SERVERS[0]):
    """An assured connection: its (family, protocol, port, NAT port, server)."""
    port = rig.port()
    return rig.family, proto, port, assured(rig, node, proto, port, server), server


def lives(rig, state, node, flow):
    rig.family, proto, port, chosen, server = flow
    ends = node.address, server[0], port, 0 if proto == "icmp" else server[1], proto
    if not state.entry(*ends):
        return False
    answer(rig, node, proto, port, chosen, server)
    return True


def is_there(state, node, proto, port, server=SERVERS[0]):
    return bool(state.entry(node.address, server[0], port, 0 if proto == "icmp" else server[1], proto))


class TestLimit:
    @pytest.mark.parametrize("proto", PROTOS)
    def test_as_many_as_configured(self, rig, state, limited, proto):
        flows = [begin(rig, limited, proto) for _ in range(LIMIT)]
        assert state.usage(limited).connections == LIMIT
        with rig.dropped("quota"):
            prohibited(rig, limited, first_packet(rig, limited, proto, rig.port()))
        assert state.usage(limited).connections == LIMIT
        for flow in flows:
            assert lives(rig, state, limited, flow)
        _, _, port, _, server = flows[2]
        key = state.key(limited.address, server[0], port, 0 if proto == "icmp" else server[1], proto)
        assert rig.end_connection(key) == 0
        begin(rig, limited, proto)
        refused(rig, limited, first_packet(rig, limited, proto, rig.port()), "quota")
        state.check()

    @pytest.mark.parametrize("proto", PROTOS)
    def test_its_oldest_unanswered_one_gives_way(self, rig, state, limited, proto):
        kept = begin(rig, limited, proto)
        ports = [rig.port() for _ in range(LIMIT + 2)]
        before = state.pressure().gave_way
        for port in ports:
            open_flow(rig, limited, proto, port)
        assert [is_there(state, limited, proto, port) for port in ports] == [False] * 3 + [True] * (LIMIT - 1)
        assert state.pressure().gave_way == before + 3
        assert lives(rig, state, limited, kept)
        state.check()

    @pytest.mark.parametrize("closed", [OPEN + "> FA 1 1; < FA 1 2; > A 2 2", OPEN + "< R 1", "> S 0; < RA 0 1",
                                        "> S 0; < SA 0 1"])
    def test_a_closed_or_half_open_one_gives_way(self, rig, state, limited, closed):
        rows = [Talk(rig, node=limited).play(script) for script in (OPEN, closed, OPEN, OPEN + "> FA 1 1; < A 1 2",
                                                                    OPEN + "< FA 1 1; > A 1 2")]
        begin(rig, limited, "udp")
        assert [bool(state.entry(*talk.key)) for talk in rows] == [True, False, True, True, True]
        refused(rig, limited, first_packet(rig, limited, "udp", rig.port()), "quota")
        state.check()

    @pytest.mark.families("both")
    def test_of_both_families_together(self, rig, state, limited):
        flows = [begin(rig, limited, "udp") for _ in range(2) for _ in rig.both()] + [begin(rig, limited, "tcp")]
        assert len(flows) == LIMIT
        for _ in rig.both():
            refused(rig, limited, first_packet(rig, limited, "udp", rig.port()), "quota")
        assert all(lives(rig, state, limited, flow) for flow in flows)
        state.check()

    def test_others_do_not_give_way_for_it(self, rig, state, limited):
        port = rig.port()
        open_flow(rig, rig.b, "udp", port)
        for _ in range(LIMIT):
            begin(rig, limited, "udp")
        refused(rig, limited, first_packet(rig, limited, "udp", rig.port()), "quota")
        assert is_there(state, rig.b, "udp", port)
        begin(rig, rig.b, "udp")

    def test_clients_of_its_exposed_ports_count(self, rig, state, limited):
        """And who is refused outside is not told: the host's address would be all that it learns."""
        port = rig.port()
        rig.host.nsbpf("expose", limited.netns.name, f"{port}:80/both")
        for number in range(LIMIT):
            packet = rig.arrived() / UDP(sport=rig.port(), dport=port)
            assert rig.from_uplink(packet)[0] == REDIRECT
            back = rig.sent(limited, OUTSIDE_FAR) / UDP(sport=80, dport=packet[UDP].sport)
            assert rig.from_endpoint(limited, back)[0] == REDIRECT
            assert state.usage(limited).connections == number + 1
        for message in (UDP(sport=rig.port(), dport=port), TCP(sport=rig.port(), dport=port, flags="S")):
            with rig.dropped("quota"):
                assert rig.from_uplink(rig.arrived() / message)[0] == SHOT
        refused(rig, limited, first_packet(rig, limited, "udp", rig.port()), "quota")
        state.check()

    def test_known_connections_need_no_room(self, rig, limited):
        flows = [begin(rig, limited, "tcp") for _ in range(LIMIT)]
        for _, _, port, chosen, server in flows:
            assert open_flow(rig, limited, "tcp", port, server, flags="PA") == chosen


def flood(rig, source, proto, count=FLOOD):
    """Unanswered connections of an endpoint's ("a"), or of the outside's to its exposed ports ("-")."""
    if source == "-":
        port = 5000 if proto == "tcp" else 5001
        packet = rig.arrived() / (TCP(dport=port, flags="S") if proto == "tcp" else UDP(dport=port) / Raw(b"x"))
        return Flood(rig, packet).send((1024 + number, port) for number in range(min(count, 64000)))
    node = getattr(rig, source)
    packet = first_packet(rig, node, proto, 1)
    return Flood(rig, packet, node).send((1024 + number % 30000, 100 + number // 30000) for number in range(count))


@pytest.mark.families("both")
class TestFlood:
    """Moby #18630: one container fills the conntrack table of all. Here the table is the real one, 65536, of both."""

    @pytest.mark.parametrize("source, proto, number", [("a", "udp", 4), ("a", "tcp", 6), ("-", "tcp", 4), ("-", "udp", 6)])
    def test_pitfall_moby_18630_others_notice_nothing(self, make_rig, source, proto, number):
        rig, state = make_rig()
        rig.set_timeouts(icmp=3600)  # a slow machine floods for longer than a ping is remembered
        old = [(node, begin(rig, node, kind)) for _ in rig.both() for node in (rig.a, rig.b, rig.c) for kind in PROTOS
               for _ in range(10)]
        rig.family = FAMILIES[number]
        flood(rig, source, proto)
        assert state.usage().connections <= MAX_CONNECTIONS
        assert FAIR * 0.98 < state.usage(rig.a).connections < FAIR * 1.02
        new = []
        for turn in range(60):  # and it does not stop while they begin
            for _ in rig.both():
                new.append((rig.b, begin(rig, rig.b, PROTOS[turn % 3])))
            rig.family = FAMILIES[number]
            flood(rig, source, proto, 40)
        assert all(lives(rig, state, *flow) for flow in old + new)
        assert state.pressure().gave_way > 0
        state.check()

    def test_unanswered_ones_of_others_stay(self, make_rig):
        """Who has less than the flooder keeps even what nobody has answered yet: a name server may take its time."""
        rig, state = make_rig()
        waiting = [rig.port() for _ in range(50)]
        for _ in rig.both():
            for port in waiting:
                open_flow(rig, rig.b, "udp", port)
            flood(rig, "a", "udp", FLOOD // 2)
            flood(rig, "a", "tcp", FLOOD // 2)
        assert all(is_there(state, rig.b, "udp", port) for _ in rig.both() for port in waiting)

    def test_one_that_is_not_noted_any_more_gives_way(self, make_rig):
        """All that may are in a ring, where the openings of others may have taken their places."""
        rig, state = make_rig()
        flood(rig, "a", "udp")
        state.forget_openings()
        before = state.pressure().gave_way
        open_flow(rig, rig.a, "udp", 50000, SERVERS[3])
        assert state.pressure().gave_way == before + 1
        state.check()

    def test_two_flooders(self, make_rig):
        rig, state = make_rig()
        old = [begin(rig, rig.b, "tcp") for _ in rig.both() for _ in range(10)]
        for source, proto, number in (("a", "udp", 4), ("c", "udp", 6), ("a", "tcp", 4)):
            rig.family = FAMILIES[number]
            flood(rig, source, proto)
        new = [begin(rig, rig.b, proto) for _ in rig.both() for proto in PROTOS for _ in range(50)]
        assert all(lives(rig, state, rig.b, flow) for flow in old + new)
        # The second one gets eight times what it leaves of what the first one has left, and then they share.
        a, c = state.usage(rig.a).connections, state.usage(rig.c).connections
        assert max(a, c) <= FAIR and a + c <= MAX_CONNECTIONS * 80 // 81
        state.check()

    def test_pitfall_cilium_34833_answered_ones_are_never_evicted(self, make_rig):
        """All of them answered: then the flooder's own new ones are refused, and nobody else's."""
        rig, state = make_rig()
        opened = answered_flood(rig, rig.a, FLOOD)
        assert FAIR * 0.98 < opened < FAIR * 1.02
        assert state.usage(rig.a).connections == opened and state.pressure().gave_way == 0
        for _ in rig.both():
            refused(rig, rig.a, first_packet(rig, rig.a, "udp", 50000, ("192.0.2.77", 53)), "quota")
            for node in (rig.b, rig.c):
                for proto in PROTOS:
                    for _ in range(25):
                        begin(rig, node, proto)
        state.check()

    def test_full_of_connections_that_give_no_way(self, make_rig):
        """By an endpoint that is allowed to have them all: old ones go on, new ones are refused and counted."""
        rig, state = make_rig()
        greedy = rig.add("greedy", "--max-connections", MAX_CONNECTIONS)
        rig.set_timeouts(icmp=3600)
        old = [begin(rig, rig.b, proto) for _ in rig.both() for proto in PROTOS for _ in range(5)]
        opened = answered_flood(rig, greedy, FLOOD)
        assert opened == MAX_CONNECTIONS - len(old)
        for _ in rig.both():
            packet = first_packet(rig, rig.b, "tcp", rig.port())
            before = rig.drops()
            prohibited(rig, rig.b, packet)
            after = rig.drops()
            assert sum(after[reason] - before[reason] for reason in ("quota", "table-full")) == 1
            packet = rig.arrived() / TCP(sport=rig.port(), dport=5000, flags="S")
            assert rig.from_uplink(packet)[0] == SHOT
        assert all(lives(rig, state, rig.b, flow) for flow in old)
        assert state.usage().connections == MAX_CONNECTIONS
        state.check()

    def test_two_cpus_in_a_full_table(self, make_rig):
        """The place that one has made free may be taken by the other, which is no reason to refuse anybody."""
        rig, state = make_rig()
        greedy = rig.add("greedy", "--max-connections", MAX_CONNECTIONS)
        packet = first_packet(rig, greedy, "udp", 1)
        senders = [Flood(rig, packet, greedy) for _ in range(2)]
        senders[0].send((1024 + number % 30000, 100 + number // 30000) for number in range(FLOOD))
        assert state.usage().connections == MAX_CONNECTIONS
        gave_way, before = state.pressure().gave_way, rig.drops()
        both_cpus(lambda cpu: senders[cpu].send((number, 2000 + cpu) for number in range(1024, 1024 + FLOOD // 2)))
        assert rig.drops()["table-full"] - before["table-full"] < FLOOD // 1000
        assert state.pressure().gave_way - gave_way > FLOOD * 0.98
        state.check()

    def test_of_nat_ports(self, make_rig):
        """From every port that there is, to one server: others still get ports of their own."""
        rig, state = make_rig()
        rig.set_timeouts(udp=3600)
        for _ in rig.both():
            packet = first_packet(rig, rig.a, "udp", 1)
            Flood(rig, packet, rig.a).send((port, 53) for port in range(1024, 65536, 2))
        before = state.pressure().overlaps
        for _ in rig.both():
            for number in range(150):
                open_flow(rig, rig.b, "udp", 40000 + number)
        assert state.pressure().overlaps == before
        state.check()

    def test_nothing_is_left_when_it_is_over(self, make_rig):
        rig, state = make_rig()
        rig.set_second(10)
        rig.set_timeouts(syn=200, udp=200)
        for _ in rig.both():
            flood(rig, "a", "udp", 10000)
            flood(rig, "a", "tcp", 10000)
            flood(rig, "-", "tcp", 5000)
        wait_for(lambda: state.usage() == (0, 0), 30)
        assert not state.entries() and not state.bindings()
        state.check()


def answered_flood(rig, node, count):
    """UDP connections, each answered at once; how many there were. From ports that are nobody else's here."""
    asking = Flood(rig, first_packet(rig, node, "udp", 1), node)
    answering = Flood(rig, rig.arrived() / UDP() / Raw(b"x"))
    opened = 0
    for number in range(count):
        sport, dport = 20000 + number % 12000, 100 + number // 12000
        if asking.send([(sport, dport)]) != [REDIRECT] or answering.send([(dport, sport)]) != [REDIRECT]:
            break
        opened += 1
    return opened


def test_noted_once(rig, state):
    """However often it is closed and revived: else one connection could push all others out of the ring."""
    before = state.pressure().opened
    Talk(rig).play(OPEN + "< R 1; > PA 1 1 +10; " * 20)
    assert state.pressure().opened == before + 1


@pytest.mark.families("both")
def test_whole_packets_under_pressure(make_rig):
    """What takes the place of one that gave way is translated as ever."""
    rig, state = make_rig()
    flood(rig, "a", "udp")
    for _ in rig.both():
        packet = rig.arrived() / TCP(sport=rig.port(), dport=5400, flags="S")
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.b), dst=rig.b.address, dport=80))
        begin(rig, rig.a, "tcp", SERVERS[3])
