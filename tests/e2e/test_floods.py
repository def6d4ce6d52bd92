# SPDX-License-Identifier: GPL-2.0-only
"""A real flooder beside real clients: who has a share of the connections keeps it (moby #18630)."""
import pytest
from nat import flood
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from wire import GATEWAY_MAC, mirror, swarm

SECONDS = 6
FLOOD = 40000  # more than there are NAT ports


@pytest.fixture
def a(host, family):
    # The outside machine answers nothing from there, neither RST nor ICMP.
    host.outside.ip("route", "add", "blackhole", family.nobody)
    return host.add("a")


def works(netns, family, turns, sizes):
    """New connections, again and again; at least 99 of 100 are answered."""
    wrong, asked = [], 0
    for proto, port in turns:
        with swarm(netns, "new", proto, family.far, port, sizes) as new:
            wrong += new.first["wrong"]
            asked += sizes
    assert len(wrong) <= asked // 100, wrong


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("towards", ["nobody", "far"])
def test_pitfall_moby_18630_an_endpoint_floods(host, a, b, proto, towards, family):
    """Towards nobody, and towards somebody who refuses each of them."""
    with mirror(host.outside, "tcp", address=family.any) as tcp, mirror(host.outside, "udp", address=family.any) as udp:
        old = [swarm(netns, "old", kind, family.far, port, 100)
               for netns in (a, b) for kind, port in (("tcp", tcp.port), ("udp", udp.port))]
        assert not [wrong for one in old for wrong in one.first["wrong"]]
        first = TCP(dport=9, flags="S") if proto == "tcp" else UDP(dport=9)
        frame = Ether(src=a.info["mac"], dst=GATEWAY_MAC) / \
            family.ip(a.address_of(family), getattr(family, towards)) / first
        with flood(a, "eth0", frame, SECONDS) as flooding:
            works(b, family, [("tcp", tcp.port), ("udp", udp.port)] * 3, 50)
            for one in old:
                one.start_turn()
            assert not [wrong for one in old for wrong in one.end_turn()]
            assert flooding.ended() > FLOOD
        for one in old:
            one.start_turn()
        assert not [wrong for one in old for wrong in one.end_turn()]
        works(b, family, [("tcp", tcp.port), ("udp", udp.port)], 50)


def test_the_outside_floods_an_exposed_port(host, a, b, family):
    """With SYNs of addresses that nobody has."""
    host.nsbpf("expose", a.name, "5000-5099")
    host.nsbpf("expose", b.name, "80")
    with mirror(host.outside, "tcp", address=family.any) as tcp, mirror(b, "tcp", 80, family.any):
        inside = swarm(host.outside, "in", "tcp", family.host, 80, 100)
        old = swarm(b, "old", "tcp", family.far, tcp.port, 100)
        ether = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
        frame = ether / family.ip(family.nobody, family.host) / TCP(flags="S", dport=5000)
        with flood(host.outside, "wan0", frame, SECONDS) as flooding:
            works(b, family, [("tcp", tcp.port)] * 3, 50)
            with swarm(host.outside, "new", "tcp", family.host, 80, 50) as new:
                assert not new.first["wrong"]
            for one in (inside, old):
                one.start_turn()
            assert not [wrong for one in (inside, old) for wrong in one.end_turn()]
            assert flooding.ended() > FLOOD


def test_as_many_connections_as_configured(host, family):
    limited = host.add("limited", "--max-connections", 3)
    with host.outside.tcp_echo(address=family.any) as server:
        sessions = [limited.tcp_session(family.far, server.port) for _ in range(3)]
        assert all("port" in session.ask() for session in sessions)
        refused = limited.tcp_session(family.far, server.port)
        assert refused.first["error"] == family.prohibited_error
        assert all("port" in session.ask() for session in sessions)
        assert host.json()["drops"]["quota"] >= 1
        sessions[0].stop()
        # It is closing, and gives way.
        assert "port" in limited.tcp(family.far, server.port)
