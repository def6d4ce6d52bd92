# SPDX-License-Identifier: GPL-2.0-only
"""What strangers send to a NAT port: by default only who was asked may answer; a full-cone network lets everybody in.

RFC 4787 REQ-6 and 8, RFC 5382 REQ-3 and 4.
"""
import time

import pytest
from bpf import REDIRECT, SHOT
from flows import PROTOS, SERVERS, answer, from_outside, is_error, message, open_flow
from rig import SECOND_ADDRESS, expect, expect_untouched, l4, translated
from scapy.layers.inet import TCP, UDP
from scapy.packet import Raw
from state import DNAT, parsed, slot
from topology import HOST_ADDRESS, OUTSIDE_FAR, wait_for

NO_INBOUND_REFRESH = 1 << 0
STRANGERS = [(OUTSIDE_FAR, 82), ("203.0.113.9", SERVERS[0][1]), ("203.0.113.9", 9)]
LINUX_RETRANSMITS = (0, 1, 3, 7)  # seconds after the first SYN


@pytest.fixture(autouse=True)
def settings(shared_rig):
    yield
    shared_rig.set_second()
    shared_rig.set_flags(0)
    shared_rig.set_timeouts(udp=300)


@pytest.fixture(scope="module")
def cone(shared_rig):
    """An endpoint of a network that filters nothing."""
    shared_rig.host.nsbpf("network", "add", "cone", "--subnet", "10.98.0.0/24", "--filtering", "endpoint-independent")
    return shared_rig.add("cone", "--network", "cone")


def syn(port, source, **fields):
    return TCP(sport=source, dport=port, flags="S", seq=5, **fields)


@pytest.mark.parametrize("server", STRANGERS)
class TestFromElsewhere:
    """RFC 4787 REQ-8."""

    def test_a_datagram(self, rig, state, server):
        """In silence: an error of the host's would be about the endpoint's port."""
        port = rig.port()
        chosen, before = open_flow(rig, rig.a, "udp", port), state.usage()
        packet = rig.arrived(src=server[0]) / UDP(sport=server[1], dport=chosen) / Raw(b"x")
        with rig.dropped("filtered"):
            assert rig.from_uplink(packet)[0] == SHOT
        assert state.usage() == before
        answer(rig, rig.a, "udp", port, chosen)

    @pytest.mark.parametrize("flags", ["A", "PA", "SA", "FA", "R", "RA", ""])
    def test_mid_flow(self, rig, state, server, flags):
        """The host's RST tells the stranger, whose connection may have been here before a restart: no silent stall."""
        port = rig.port()
        chosen, before = open_flow(rig, rig.a, "tcp", port), state.usage()
        packet = rig.arrived(src=server[0]) / TCP(sport=server[1], dport=chosen, flags=flags) / Raw(b"x")
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)
        assert state.usage() == before
        answer(rig, rig.a, "tcp", port, chosen)


@pytest.mark.parametrize("proto, flags", [("udp", None), ("tcp", "A"), ("tcp", "S")])
class TestNotBound:
    def arrived(self, rig, proto, flags, port, address=HOST_ADDRESS):
        return rig.arrived(address, STRANGERS[0][0]) / l4(proto, 9, port, **({"flags": flags} if flags else {}))

    def test_is_the_hosts(self, rig, proto, flags):
        packet = self.arrived(rig, proto, flags, rig.port())
        expect_untouched(rig.from_uplink(packet), packet)

    def test_on_another_address_of_the_host(self, rig, proto, flags):
        chosen = open_flow(rig, rig.a, proto, rig.port())
        packet = self.arrived(rig, proto, flags, chosen, SECOND_ADDRESS)
        expect_untouched(rig.from_uplink(packet), packet)

    def test_for_the_other_protocol(self, rig, proto, flags):
        chosen = open_flow(rig, rig.a, "udp" if proto == "tcp" else "tcp", rig.port())
        packet = self.arrived(rig, proto, flags, chosen)
        expect_untouched(rig.from_uplink(packet), packet)

    def test_any_more(self, rig, state, proto, flags):
        port = rig.port()
        chosen = open_flow(rig, rig.a, proto, port)
        assert rig.end_connection(state.key(rig.a.address, SERVERS[0][0], port, SERVERS[0][1], proto)) == 0
        packet = self.arrived(rig, proto, flags, chosen)
        expect_untouched(rig.from_uplink(packet), packet)

    def test_a_host_socket_came_later(self, rig, proto, flags):
        """It may listen on a port that was bound before: what no connection knows is its own again."""
        chosen = open_flow(rig, rig.a, proto, rig.port())
        with rig.serve(rig.host, proto, chosen):
            packet = self.arrived(rig, proto, flags, chosen)
            expect_untouched(rig.from_uplink(packet), packet)


def test_pings_of_strangers_are_the_hosts(rig):
    """An identifier is nobody's but who asked with it."""
    chosen = open_flow(rig, rig.a, "icmp", rig.port())
    packet = rig.arrived(src="203.0.113.9") / rig.family.ping(chosen) / Raw(b"ping")
    expect_untouched(rig.from_uplink(packet), packet)


def test_pitfall_netavark_904_not_for_the_host(rig, cone):
    """A stranger's packets that the uplink merely passes by, whatever their port is to us."""
    for node in (rig.a, cone):
        chosen = open_flow(rig, node, "udp", rig.port())
        packet = rig.arrived("198.51.100.77", STRANGERS[0][0]) / UDP(sport=9, dport=chosen)
        expect_untouched(rig.from_uplink(packet), packet)


class TestUnsolicitedSyn:
    """RFC 5382 REQ-4: it may be one half of a simultaneous open, so a RST would spoil it."""
    STRANGER = ("203.0.113.9", 7000)

    @pytest.fixture(autouse=True)
    def fast(self, rig):
        rig.set_second(50)

    def arrived(self, rig, chosen, **fields):
        return rig.arrived(src=self.STRANGER[0], **fields) / syn(chosen, self.STRANGER[1])

    def test_silence_and_then_an_error(self, rig):
        chosen = open_flow(rig, rig.a, "tcp", rig.port())
        packet = self.arrived(rig, chosen, id=7)
        began = time.monotonic()
        for second in LINUX_RETRANSMITS[:-1]:
            time.sleep(max(0.0, began + second * 0.05 - time.monotonic()))
            with rig.dropped("filtered"):
                assert rig.from_uplink(packet)[0] == SHOT
        assert time.monotonic() < began + 6 * 0.05, "this machine is too slow"
        time.sleep(max(0.0, began + LINUX_RETRANSMITS[-1] * 0.05 - time.monotonic()))
        with rig.dropped("refused"):
            result = rig.from_uplink(packet)
        is_error(rig, result, "port unreachable", packet)

    def test_each_has_its_own_time(self, rig):
        chosen = open_flow(rig, rig.a, "tcp", rig.port())
        assert rig.from_uplink(self.arrived(rig, chosen))[0] == SHOT
        time.sleep(0.35)
        with rig.dropped("filtered"):
            assert rig.from_uplink(rig.arrived(src="203.0.113.10") / syn(chosen, 7000))[0] == SHOT

    def test_the_endpoints_own_syn_lets_it_in(self, rig, state):
        """Simultaneous open (RFC 5382 REQ-2), the other side being first."""
        port = rig.port()
        chosen = open_flow(rig, rig.a, "tcp", port)
        packet = self.arrived(rig, chosen)
        assert rig.from_uplink(packet)[0] == SHOT
        assert open_flow(rig, rig.a, "tcp", port, self.STRANGER) == chosen
        with rig.dropped():
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address, dport=port))
        time.sleep(0.35)  # the time for an error has come, but not its cause
        with rig.dropped():
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address, dport=port))
        open_flow(rig, rig.a, "tcp", port, self.STRANGER, flags="SA")
        answer(rig, rig.a, "tcp", port, chosen, self.STRANGER)
        entry = state.entry(rig.a.address, self.STRANGER[0], port, self.STRANGER[1], "tcp")
        assert state.tcp_state(entry) == "established"


@pytest.mark.parametrize("proto", ["tcp", "udp"])
class TestFullCone:
    def test_whoever_knows_the_port(self, rig, state, cone, proto):
        port = rig.port() + 30000
        chosen = open_flow(rig, cone, proto, port)
        for stranger in STRANGERS:
            packet = rig.arrived(src=stranger[0]) / message(rig, proto, stranger[1], chosen)
            for _ in range(2):
                with rig.dropped():
                    expect(rig.from_uplink(packet), REDIRECT,
                           translated(packet, rig.to(cone), dst=cone.address, dport=port))
            back = rig.sent(cone, stranger[0]) / message(rig, proto, port, stranger[1], answer=True)
            expect(rig.from_endpoint(cone, back), REDIRECT, translated(back, src=HOST_ADDRESS, sport=chosen))
        assert state.nat_port(proto, chosen)[:3] == (slot(cone), port, 1 + len(STRANGERS))
        state.check()

    def test_what_comes_in_keeps_the_binding(self, rig, state, cone, proto):
        """The connection that made it ends, the stranger's is left: new ones still have this NAT port."""
        port = rig.port() + 30000
        chosen = open_flow(rig, cone, proto, port)
        packet = rig.arrived(src=STRANGERS[0][0]) / message(rig, proto, STRANGERS[0][1], chosen)
        assert rig.from_uplink(packet)[0] == REDIRECT
        key = state.key(STRANGERS[0][0], HOST_ADDRESS, STRANGERS[0][1], chosen, proto)
        entry = state.entry(*parsed(key))
        assert entry.original and entry.flags & DNAT and entry.endpoint == slot(cone)
        assert rig.end_connection(state.key(cone.address, SERVERS[0][0], port, SERVERS[0][1], proto)) == 0
        assert state.nat_port(proto, chosen)[:3] == (slot(cone), port, 1)
        assert open_flow(rig, cone, proto, port, SERVERS[3]) == chosen
        state.check()

    def test_only_of_its_own_network(self, rig, cone, proto):
        chosen = open_flow(rig, rig.a, proto, rig.port())
        packet = rig.arrived(src=STRANGERS[0][0]) / message(rig, proto, STRANGERS[0][1], chosen)
        with rig.dropped("filtered"):
            assert rig.from_uplink(packet)[0] == SHOT

    def test_as_others_do_under_collision(self, rig, cone, proto):
        """RFC 4787 REQ-11."""
        port = rig.port()
        open_flow(rig, rig.a, proto, port)
        chosen = open_flow(rig, cone, proto, port)
        assert chosen != port
        packet = rig.arrived(src=STRANGERS[0][0]) / message(rig, proto, STRANGERS[0][1], chosen)
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(cone), dst=cone.address, dport=port))


@pytest.mark.parametrize("flags", ["A", "SA", "R", "FA"])
def test_full_cone_takes_no_strangers_tcp_but_a_syn(rig, cone, flags):
    chosen = open_flow(rig, cone, "tcp", rig.port())
    packet = rig.arrived(src=STRANGERS[0][0]) / TCP(sport=9, dport=chosen, flags=flags)
    with rig.dropped():
        expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.families("both")
@pytest.mark.parametrize("refresh", [True, False])
@pytest.mark.parametrize("direction", ["out", "in"])
def test_what_keeps_a_connection(rig, state, direction, refresh):
    """RFC 4787 REQ-6: what goes out always does, what comes in unless it is configured not to."""
    rig.set_flags(0 if refresh else NO_INBOUND_REFRESH)
    rig.set_second(300)
    rig.set_timeouts(udp=1)
    port = rig.port() + 30000
    chosen = {family: open_flow(rig, rig.b, "udp", port) for family in rig.both()}
    kept = direction == "out" or refresh
    end = time.monotonic() + 0.9
    while time.monotonic() < end:
        for family in rig.both():
            if direction == "out":
                open_flow(rig, rig.b, "udp", port)
            elif kept or state.entries_of("udp", chosen[family]):
                rig.from_uplink(from_outside(rig, "udp", chosen[family]))
        time.sleep(0.03)
    assert len(state.entries_of("udp", port)) == (4 if kept else 0)
    wait_for(lambda: not state.entries_of("udp", port))


def test_answers_of_every_protocol(rig):
    for proto in PROTOS:
        port = rig.port()
        answer(rig, rig.a, proto, port, open_flow(rig, rig.a, proto, port))
