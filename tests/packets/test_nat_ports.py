# SPDX-License-Identifier: GPL-2.0-only
"""Which NAT port a binding gets: its own, a random one, none that is another's, and what happens when few are left."""
import time

import pytest
from flows import PROTOS, SERVERS, answer, assured, first_packet, open_flow, prohibited, refused
from rig import EPHEMERAL, NAT_PORTS, SECOND_ADDRESS, expect_untouched, l4
from scapy.packet import Raw
from state import slot
from topology import OUTSIDE_FAR

LOW_PORTS = range(512, 1024)
FEW = range(1024, 1030)  # the NAT range of the hosts that have only these
FEW_PORTS = {"ip_local_port_range": "1030 65535"}


@pytest.mark.parametrize("proto", ["tcp", "udp"])
class TestSourcePort:
    @pytest.mark.parametrize("sport", [32768, EPHEMERAL, 60999])
    def test_outside_the_range_another_is_taken(self, rig, proto, sport):
        chosen = open_flow(rig, rig.a, proto, sport)
        assert chosen in NAT_PORTS
        assert open_flow(rig, rig.a, proto, sport) == chosen

    @pytest.mark.parametrize("sport", [1024, 32767, 61000, 65535])
    def test_edges_of_the_range_are_kept(self, rig, proto, sport):
        assert open_flow(rig, rig.a, proto, sport) == sport

    @pytest.mark.parametrize("sport", [1, 53, 511, 512, 1023])
    def test_a_low_one_stays_low(self, rig, proto, sport):
        """RFC 4787 REQ-3a: some servers ask for it. Which, is left to chance: services of the host own the others."""
        chosen = open_flow(rig, rig.a, proto, sport), open_flow(rig, rig.b, proto, sport)
        assert set(chosen) <= set(LOW_PORTS) and chosen[0] != chosen[1]
        assert open_flow(rig, rig.a, proto, sport, SERVERS[3]) == chosen[0]

    def test_low_ones_of_the_hosts_stay_its_own(self, rig, proto):
        """Its DHCP client listens on port 68 of a device, where no lookup of a socket finds it."""
        open_flow(rig, rig.a, proto, 68, (OUTSIDE_FAR, 67))
        packet = rig.arrived() / l4(proto, 67, 68) / Raw(b"for the host")
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)

    def test_one_that_a_host_socket_has(self, rig, proto):
        with rig.serve(rig.host, proto, rig.port()) as server:
            assert open_flow(rig, rig.a, proto, server.port) != server.port

    def test_one_that_a_host_socket_has_on_another_address(self, rig, proto):
        with rig.serve(rig.host, proto, rig.port(), SECOND_ADDRESS) as server:
            assert open_flow(rig, rig.a, proto, server.port) == server.port

    def test_one_that_a_client_of_the_hosts_has(self, rig, proto):
        port = rig.port()
        with rig.serve(rig.host.outside, proto) as server:
            session = rig.host.tcp_session if proto == "tcp" else rig.host.udp_session
            connect = {"connect": True} if proto == "udp" else {}
            with session(rig.family.address(OUTSIDE_FAR), server.port, source_port=port, **connect):
                assert open_flow(rig, rig.a, proto, port, (OUTSIDE_FAR, server.port)) != port


@pytest.mark.parametrize("proto, port, kept", [("tcp", 5000, False), ("udp", 5000, True), ("udp", 5001, False),
                                               ("tcp", 6005, False), ("tcp", 5100, False), ("tcp", 5200, False),
                                               ("tcp", 7005, True), ("tcp", 5999, True), ("tcp", 6011, True)])
def test_pitfall_cilium_34041_an_exposed_port_is_no_nat_port(rig, proto, port, kept):
    assert (open_flow(rig, rig.a, proto, port) == port) == kept


@pytest.mark.parametrize("proto", PROTOS)
def test_chosen_at_random(rig, proto):
    """RFC 6056. One set of ports in ten million fails this; ports one after the other always do."""
    ports = list(range(65536)) if proto == "icmp" else NAT_PORTS
    flows, bins = 640, [0] * 16
    for _ in range(flows):
        chosen = open_flow(rig, rig.a, proto, rig.port() + 30000)
        bins[ports.index(chosen) * len(bins) // len(ports)] += 1
    expected = flows / len(bins)
    assert sum((count - expected) ** 2 / expected for count in bins) < 62, bins


class TestRest:
    """A port whose last connection has ended is nobody else's for 120 s (RFC 6888 REQ-8)."""

    @pytest.fixture(autouse=True)
    def fast(self, rig):
        yield
        rig.set_second()

    @staticmethod
    def flow(rig, state, node, proto, port):
        """A connection that has ended; its NAT port."""
        chosen = open_flow(rig, node, proto, port)
        key = state.key(node.address, SERVERS[0][0], port, SERVERS[0][1], proto)
        assert rig.end_connection(key) == 0
        return chosen

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_others_do_not_get_it(self, rig, state, proto):
        port = rig.port()
        assert self.flow(rig, state, rig.a, proto, port) == port
        assert self.flow(rig, state, rig.b, proto, port) != port
        assert self.flow(rig, state, rig.c, proto, port) != port

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_its_own_port_gets_it_again(self, rig, state, proto):
        port = rig.port()
        for _ in range(3):
            assert self.flow(rig, state, rig.a, proto, port) == port

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_for_120_seconds(self, rig, state, proto):
        rig.set_second(10)
        port = rig.port()
        assert self.flow(rig, state, rig.a, proto, port) == port
        ended = time.monotonic()
        while time.monotonic() < ended + 0.9:
            assert self.flow(rig, state, rig.b, proto, port) != port
        time.sleep(max(0.0, ended + 1.4 - time.monotonic()))
        assert self.flow(rig, state, rig.b, proto, port) == port

    def test_as_configured(self, rig, state):
        port = rig.port()
        rig.set_timeouts(port=0)
        assert self.flow(rig, state, rig.a, "udp", port) == port
        assert self.flow(rig, state, rig.b, "udp", port) == port
        rig.set_timeouts(port=120)

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_random_ones_rest_too(self, make_rig, proto):
        """Of six, each is taken once before any is taken again."""
        rig, state = make_rig(**FEW_PORTS)
        chosen = [self.flow(rig, state, rig.a, proto, 40000 + number) for number in range(len(FEW))]
        assert sorted(chosen) == list(FEW)
        # Only resting ones are left: better than none.
        assert self.flow(rig, state, rig.b, proto, 50000) in FEW
        assert state.pressure().overlaps == 0


@pytest.mark.parametrize("proto", ["tcp", "udp"])
class TestFewPorts:
    def test_pitfall_cilium_34088_the_whole_range_is_searched(self, make_rig, proto):
        rig, state = make_rig(**FEW_PORTS)
        for _ in range(4):
            nodes = [rig.a, rig.b, rig.c]
            chosen = [open_flow(rig, nodes[number % 3], proto, 40000 + number) for number in range(len(FEW))]
            assert sorted(chosen) == list(FEW)
            for key in [key for key in state.entries()]:
                rig.end_connection(key)
        assert state.usage() == (0, 0)
        state.check()

    def test_shared_when_all_are_bound(self, make_rig, proto):
        """RFC 7857 section 3 allows it then; the answers still tell the connections apart."""
        rig, state = make_rig(**FEW_PORTS)
        ports = {40000 + number: open_flow(rig, rig.a, proto, 40000 + number) for number in range(len(FEW))}
        assert state.pressure().overlaps == 0
        shared = open_flow(rig, rig.b, proto, 50000, SERVERS[1])
        assert shared in FEW and state.pressure().overlaps == 1
        answer(rig, rig.b, proto, 50000, shared, SERVERS[1])
        for port, chosen in ports.items():
            answer(rig, rig.a, proto, port, chosen)
            assert open_flow(rig, rig.a, proto, port, SERVERS[2]) == chosen
        state.check()

    def test_none_left(self, make_rig, proto):
        """Every NAT port has a connection to this very server: the sender is told (RFC 5508 REQ-8)."""
        rig, state = make_rig(**FEW_PORTS)
        for number in range(len(FEW)):
            assured(rig, rig.a, proto, 40000 + number)
        packet = first_packet(rig, rig.b, proto, 50000)
        with rig.dropped("no-port"):
            prohibited(rig, rig.b, packet)
        refused(rig, rig.b, first_packet(rig, rig.b, proto, 50001), "no-port")
        key = state.key(rig.a.address, SERVERS[0][0], 40000, SERVERS[0][1], proto)
        assert rig.end_connection(key) == 0
        assert open_flow(rig, rig.b, proto, 50000) in FEW
        state.check()

    def test_one_that_nobody_has_answered_lends_its_port(self, make_rig, proto):
        """Better than to refuse a new connection for the sake of one that may never be."""
        rig, state = make_rig(**FEW_PORTS)
        chosen = [assured(rig, rig.a, proto, 40000 + number) for number in range(len(FEW) - 1)]
        waiting = open_flow(rig, rig.a, proto, 40010)
        assert open_flow(rig, rig.b, proto, 50000) == waiting
        assert not state.entry(rig.a.address, SERVERS[0][0], 40010, SERVERS[0][1], proto)
        assert (state.pressure().gave_way, state.pressure().overlaps) == (1, 1)
        for number, port in enumerate(chosen):
            answer(rig, rig.a, proto, 40000 + number, port)
        state.check()

    def test_pitfall_cilium_48650_exposed_ports_are_never_taken(self, make_rig, proto):
        rig, state = make_rig(**FEW_PORTS)
        rig.host.nsbpf("expose", rig.host.name("a"), f"1024-1026/{proto}")
        assert {assured(rig, rig.b, proto, 40000 + number) for number in range(3)} == {1027, 1028, 1029}
        refused(rig, rig.c, first_packet(rig, rig.c, proto, 40003), "no-port")
        assert open_flow(rig, rig.b, proto, 40003, SERVERS[1]) in (1027, 1028, 1029)
        assert state.pressure().overlaps == 1

    def test_ports_of_host_sockets_are_never_taken(self, make_rig, proto):
        rig, _ = make_rig(**FEW_PORTS)
        with rig.serve(rig.host, proto, 1025), rig.serve(rig.host, proto, 1028):
            chosen = {assured(rig, rig.b, proto, 40000 + number) for number in range(4)}
            assert chosen == set(FEW) - {1025, 1028}
            refused(rig, rig.b, first_packet(rig, rig.b, proto, 40005), "no-port")

    def test_one_endpoint_leaves_some_to_others(self, make_rig, proto):
        """Of 90 ports it binds 80, eight times what it leaves; what it opens then shares them."""
        rig, state = make_rig(ip_local_port_range="1114 65535")
        for number in range(200):
            open_flow(rig, rig.a, proto, 40000 + number, (OUTSIDE_FAR, 100 + number))
        assert (state.usage(rig.a), state.pressure().overlaps) == ((200, 80), 120)
        chosen = {open_flow(rig, rig.b, proto, 40000 + number) for number in range(8)}
        assert len(chosen) == 8 and state.pressure().overlaps == 120
        assert not any(state.nat_port(proto, port).endpoint == slot(rig.a) for port in chosen)
        state.check()


def test_low_ports_when_none_is_left(make_rig):
    rig, state = make_rig()
    assert {assured(rig, rig.a, "udp", port) for port in range(1, 513)} == set(LOW_PORTS)
    refused(rig, rig.c, first_packet(rig, rig.c, "udp", 53), "no-port")
    assert open_flow(rig, rig.b, "udp", 53, SERVERS[1]) in LOW_PORTS
    assert state.pressure().overlaps == 1


DEPRECATED = {4: (), 6: ("nodad", "preferred_lft", "0")}  # so that the host's own choice stays what it was


def test_more_addresses_than_port_tables(make_rig):
    """A host with nine masquerade addresses: the ninth has no bindings, but its connections work, and are counted."""
    rig, state = make_rig()
    nodes = {}
    for number in range(20, 29):
        address = rig.family.address(f"198.51.100.{number}")
        rig.host.ip("address", "add", address, "dev", "up0", *DEPRECATED[rig.family.number])
        rig.host.nsbpf("network", "add", f"net{number}", "--subnet", f"10.98.{number}.0/24", "--masquerade", address)
        nodes[address] = rig.add(f"n{number}", "--network", f"net{number}")
    for proto in PROTOS:
        for address, node in nodes.items():
            for server in SERVERS[1:]:
                chosen = open_flow(rig, node, proto, 40000, server, address=address)
                answer(rig, node, proto, 40000, chosen, server, address=address)
    assert state.pressure().overlaps == len(PROTOS) * 3
    state.check()
