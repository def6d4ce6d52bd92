# SPDX-License-Identifier: GPL-2.0-only
"""Peers that find each other by what a server outside sees of them: what NAT bindings are for, on real sockets.

    a, b ---- host 198.51.100.1 ---- outside ---- second host 198.18.0.1 ---- c
                                     198.51.100.2, 203.0.113.2, 203.0.113.3, 192.0.2.77
"""
import threading
import time

import pytest
from nat import more_servers, udp_peer
from topology import NSBPF, Netns, wait_for
from wire import NAT_PORTS


@pytest.fixture
def a(host):
    more_servers(host.outside)
    return host.add("a")


@pytest.fixture
def c(host, a, family):
    """An endpoint of another machine that runs nsbpf, behind the same outside."""
    machine = host.machine("s")
    host.connect(machine, "up0", host.outside, "wan1")
    machine.add_address(f"{family.other_host}/{family.link_length}", "up0")
    machine.ip("route", "add", "default", "via", family.other_via)
    host.outside.add_address(f"{family.other_via}/{family.link_length}", "wan1")
    host.outside.sysctl(f"{family.conf}.conf.all.forwarding", 1)
    name = host.name("c")
    machine.run(NSBPF, "add", name)
    yield Netns(name, host)
    machine.run(NSBPF, "down")


@pytest.mark.parametrize("collision", [False, True])
class TestOnePortForAll:
    def test_udp(self, host, a, b, collision, family):
        with host.outside.udp_echo(address=family.any) as one, host.outside.udp_echo(address=family.any) as two:
            taken = udp_peer(b, address=family.any)
            before = taken.ask(family.far, one.port, "first")
            peer = udp_peer(a, taken.port if collision else 0, family.any)
            seen = {peer.ask(address, server.port, f"{server.port}-{address}")
                    for address in family.servers for server in (one, two)}
        assert len(seen) == 1 and before not in seen
        (address, port), = seen
        assert address == family.host and port in NAT_PORTS

    def test_tcp(self, host, a, b, collision, family):
        with host.outside.tcp_echo(address=family.any) as server:
            taken = b.tcp_session(family.far, server.port, source_port=7777)
            before = taken.ask()["port"]
            port = 7777 if collision else 7778
            sessions = [a.tcp_session(address, server.port, source_port=port) for address in family.servers]
            seen = {session.ask()["port"] for session in sessions}
            assert len(seen) == 1 and before not in seen
            assert collision or seen == {7778}
            assert taken.ask()["port"] == before

    def test_ping(self, host, a, b, collision, family):
        wan = host.outside.capture("wan0")
        b.run("ping", "-n", "-c", "1", "-W", "2", "-e", "77", family.far)
        for address in family.servers:
            a.run("ping", "-n", "-c", "1", "-W", "2", "-e", "77" if collision else "78", address)
        asked = wan.expect(family.is_request, count=1 + len(family.servers))
        first, *others = [family.echo(p).id for p in asked]
        assert len(set(others)) == 1 and first not in others


def punched(first, second, knock):
    """Both know the other's address from a server; the packet that comes first may not be heard yet, the other one is."""
    (here, there) = (knock(first), knock(second))
    first.send(*there, "one")
    second.send(*here, "two")
    wait_for(lambda: first.has("two") or second.has("one"))
    first.send(*there, "three")
    assert second.got("three") == here
    second.send(*here, "four")
    assert first.got("four") == there


def test_pitfall_cni_68_hole_punching_behind_one_host(host, a, b, family):
    """RFC 4787 REQ-9: peers that do not know that they are neighbours."""
    with host.outside.udp_echo(address=family.any) as server:
        for other in (b, a):
            punched(udp_peer(a, address=family.any), udp_peer(other, address=family.any),
                    lambda peer: peer.ask(family.far, server.port, "who"))


def test_hole_punching_between_two_hosts(host, a, c, family):
    with host.outside.udp_echo(address=family.any) as server:
        punched(udp_peer(a, address=family.any), udp_peer(c, address=family.any),
                lambda peer: peer.ask(family.far, server.port, "who"))


@pytest.mark.parametrize("where", ["behind one host", "between two hosts"])
def test_tcp_simultaneous_open(host, a, b, where, request, family):
    """RFC 5382 REQ-2 and 8. Whose SYN comes first is dropped in silence, so the other one's can still get through."""
    other = b if where == "behind one host" else request.getfixturevalue("c")
    with host.outside.tcp_echo(address=family.any) as server:
        known, ports = {}, {a: 7001, other: 7002}
        sessions = []  # as long as they are open, so are the bindings
        for netns, port in ports.items():
            sessions.append(netns.tcp_session(family.far, server.port, source_port=port))
            seen = sessions[-1].ask()
            known[netns] = seen["peer"], seen["port"]
        results = {}

        def connect(netns, there):
            # tcp_session() says where it is bound, when it is connected; nobody answers, as both are clients.
            results[netns] = netns.tcp_session(*there, source_port=ports[netns], timeout=8.0)
        threads = [threading.Thread(target=connect, args=(netns, known[there]))
                   for netns, there in ((a, other), (other, a))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for netns, there in ((a, other), (other, a)):
            assert results[netns].first == {"local": netns_address(netns, family), "local_port": ports[netns],
                                            "remote": known[there][0], "remote_port": known[there][1]}


def netns_address(netns, family):
    shown, = netns.ip_json(f"-{family.number}", "address", "show", "dev", "eth0", "scope", "global")
    return shown["addr_info"][0]["local"]


def test_strangers_hear_nothing_and_then_an_error(host, a, family):
    """RFC 5382 REQ-4, in real time: Linux sends its SYN after 0, 1, 3 and 7 seconds."""
    with host.outside.tcp_echo(address=family.any) as server:
        session = a.tcp_session(family.far, server.port)
        port = session.ask()["port"]
        wan = host.outside.capture("wan0")
        began = time.monotonic()
        refused = host.outside.tcp_session(family.host, port, source=family.servers[2], timeout=9.0)
        assert refused.first["error"] == "ECONNREFUSED" and 6 <= time.monotonic() - began < 9
        error, = wan.expect(family.error)
        assert (error[family.IP].src, family.error(error)) == (family.host, family.PORT_UNREACHABLE)
        assert session.ask()["port"] == port


def test_a_full_cone(host, family):
    """Whoever knows the port gets through, and is answered from it."""
    more_servers(host.outside)
    host.nsbpf("network", "add", "cone", "--subnet", "10.98.0.0/24", "--filtering", "endpoint-independent")
    a = host.add("a", "--network", "cone")
    with host.outside.udp_echo(address=family.any) as server:
        peer = udp_peer(a, address=family.any)
        known = peer.ask(family.far, server.port, "who")
        stranger = udp_peer(host.outside, address=family.any)
        stranger.send(*known, "hello")
        where = peer.got("hello")
        peer.send(*where, "welcome")
        assert stranger.got("welcome") == known


def test_by_default_a_stranger_does_not(host, a, family):
    with host.outside.udp_echo(address=family.any) as server:
        peer = udp_peer(a, address=family.any)
        known = peer.ask(family.far, server.port, "who")
        stranger = udp_peer(host.outside, address=family.any)
        before = host.json()["drops"]["filtered"]
        stranger.send(*known, "hello")
        peer.ask(family.far, server.port, "again")
        assert host.json()["drops"]["filtered"] == before + 1
        assert not [line for line in peer.lines if line.get("data") == "hello"]
