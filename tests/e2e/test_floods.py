# SPDX-License-Identifier: GPL-2.0-only
"""A real flooder beside real clients: who has a share of the connections keeps it (moby #18630)."""
import pytest
from nat import flood
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from topology import HOST_ADDRESS, OUTSIDE_FAR
from wire import GATEWAY_MAC, mirror, swarm

SECONDS = 6
FLOOD = 40000  # more than there are NAT ports
BLACKHOLE = "203.0.113.250"  # the outside machine answers nothing from there, neither RST nor ICMP


@pytest.fixture
def a(host):
    host.outside.ip("route", "add", "blackhole", BLACKHOLE + "/32")
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


def first_packets(proto, source, destination, ether):
    l4 = TCP(dport=9, flags="S") if proto == "tcp" else UDP(dport=9, chksum=0)
    return ether / IP(src=source, dst=destination) / l4


def works(netns, turns, sizes):
    """New connections, again and again; at least 99 of 100 are answered."""
    wrong, asked = [], 0
    for proto, port in turns:
        with swarm(netns, "new", proto, OUTSIDE_FAR, port, sizes) as new:
            wrong += new.first["wrong"]
            asked += sizes
    assert len(wrong) <= asked // 100, wrong


@pytest.mark.parametrize("proto", ["tcp", "udp"])
@pytest.mark.parametrize("towards", [BLACKHOLE, OUTSIDE_FAR])
def test_pitfall_moby_18630_an_endpoint_floods(host, a, b, proto, towards):
    """Towards nobody, and towards somebody who refuses each of them."""
    with mirror(host.outside, "tcp") as tcp, mirror(host.outside, "udp") as udp:
        old = [swarm(netns, "old", kind, OUTSIDE_FAR, port, 100)
               for netns in (a, b) for kind, port in (("tcp", tcp.port), ("udp", udp.port))]
        assert not [wrong for one in old for wrong in one.first["wrong"]]
        frame = first_packets(proto, a.address, towards, Ether(src=a.info["mac"], dst=GATEWAY_MAC))
        with flood(a, "eth0", frame, SECONDS) as flooding:
            works(b, [("tcp", tcp.port), ("udp", udp.port)] * 3, 50)
            for one in old:
                one.start_turn()
            assert not [wrong for one in old for wrong in one.end_turn()]
            assert flooding.ended() > FLOOD
        for one in old:
            one.start_turn()
        assert not [wrong for one in old for wrong in one.end_turn()]
        works(b, [("tcp", tcp.port), ("udp", udp.port)], 50)


def test_the_outside_floods_an_exposed_port(host, a, b):
    """With SYNs of addresses that nobody has."""
    host.nsbpf("expose", a.name, "5000-5099")
    host.nsbpf("expose", b.name, "80")
    with mirror(host.outside, "tcp") as tcp, mirror(b, "tcp", 80):
        inside = swarm(host.outside, "in", "tcp", HOST_ADDRESS, 80, 100)
        old = swarm(b, "old", "tcp", OUTSIDE_FAR, tcp.port, 100)
        ether = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
        frame = ether / IP(src=BLACKHOLE, dst=HOST_ADDRESS) / TCP(flags="S", dport=5000)
        with flood(host.outside, "wan0", frame, SECONDS) as flooding:
            works(b, [("tcp", tcp.port)] * 3, 50)
            with swarm(host.outside, "new", "tcp", HOST_ADDRESS, 80, 50) as new:
                assert not new.first["wrong"]
            for one in (inside, old):
                one.start_turn()
            assert not [wrong for one in (inside, old) for wrong in one.end_turn()]
            assert flooding.ended() > FLOOD


def test_as_many_connections_as_configured(host):
    limited = host.add("limited", "--max-connections", 3)
    with host.outside.tcp_echo() as server:
        sessions = [limited.tcp_session(OUTSIDE_FAR, server.port) for _ in range(3)]
        assert all("port" in session.ask() for session in sessions)
        refused = limited.tcp_session(OUTSIDE_FAR, server.port)
        assert refused.first["error"] == "EHOSTUNREACH"  # what ICMP 3/13 is to a socket
        assert all("port" in session.ask() for session in sessions)
        assert host.json()["drops"]["quota"] >= 1
        sessions[0].stop()
        # It is closing, and gives way.
        assert "port" in limited.tcp(OUTSIDE_FAR, server.port)
