# SPDX-License-Identifier: GPL-2.0-only
"""The host's own sockets reach exposed ports by 127.0.0.1 and by its addresses; those of others are let alone."""
import pytest
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS
from wire import SECOND_ADDRESS, echo, question

pytestmark = pytest.mark.attach

PROTOS = ["tcp", "udp"]
ADDRESSES = ["127.0.0.1", "127.1.2.3", HOST_ADDRESS, SECOND_ADDRESS, "172.21.0.1"]


@pytest.fixture
def a(host):
    host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
    host.ip("address", "add", "172.21.0.1/32", "dev", "lo")
    return host.add("a")


@pytest.mark.parametrize("proto", PROTOS)
class TestReached:
    def test_pitfall_cilium_6381_by_every_address(self, host, a, proto):
        host.nsbpf("expose", a.name, f"5000:80/{proto}")
        with echo(a, proto, 80):
            for address in (*ADDRESSES, a.info["gateway"]):
                seen = question(host, proto, address, 5000)
                assert (seen["local"], seen["local_port"]) == (a.address, 80)
                assert seen["peer"] == a.info["gateway"]  # no 127.0.0.1, which the endpoint would take for its own

    def test_bound_to_loopback(self, host, a, proto):
        """Told at once that this can't be: from 127.0.0.1 no packet may leave for an endpoint, nor come back to it."""
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000):
            assert getattr(host, proto)("127.0.0.1", 5000, source="127.0.0.1")["error"] == "EINVAL"

    def test_v4_mapped(self, host, a, proto):
        """An AF_INET6 socket that talks IPv4, as Java and Go programs use them."""
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000):
            for address in ADDRESSES:
                assert question(host, proto, "::ffff:" + address, 5000)["local_port"] == 5000

    def test_a_local_server_on_another_port_is_the_hosts(self, host, a, proto):
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(host, proto, 5001), echo(a, proto, 5001):
            for address in ADDRESSES:
                assert question(host, proto, address, 5001)["local"] == address

    def test_an_address_that_is_added_later(self, host, a, proto):
        """The hooks know the host's addresses from a map: any later command brings it up to date."""
        host.nsbpf("expose", a.name, f"5000/{proto}")
        host.ip("address", "add", "172.22.0.1/32", "dev", "lo")
        host.nsbpf("expose", a.name, f"5001/{proto}")
        with echo(a, proto, 5000):
            assert question(host, proto, "172.22.0.1", 5000)["local_port"] == 5000

    def test_other_places_are_let_alone(self, host, a, proto):
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(host.outside, proto, 5000):
            seen = question(host, proto, OUTSIDE_ADDRESS, 5000)
            assert (seen["peer"], seen["local"]) == (HOST_ADDRESS, OUTSIDE_ADDRESS)

    def test_other_namespaces_are_let_alone(self, host, a, proto):
        """Same addresses, same port, another namespace: the hooks hang on the cgroup that all of them are in."""
        other = host.machine("x")
        other.ip("address", "add", HOST_ADDRESS + "/32", "dev", "lo")
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000), echo(other, proto, 5000), echo(host.outside, proto, 5000):
            for netns, address in ((other, "127.0.0.1"), (other, HOST_ADDRESS), (host.outside, "127.0.0.1"),
                                   (host.outside, OUTSIDE_ADDRESS), (a, "127.0.0.1")):
                seen = question(netns, proto, address, 5000)
                assert seen["peer"] in (address, HOST_ADDRESS, OUTSIDE_ADDRESS), (netns.name, address, seen)
                assert seen["peer"] != a.info["gateway"]
        with echo(a, proto, 5000):
            assert getattr(other, proto)("127.0.0.1", 5000, timeout=0.5).get("error")


class TestPeerName:
    """What was asked for is what getpeername() and recvfrom() show."""

    @pytest.mark.parametrize("prefix", ["", "::ffff:"])
    def test_tcp(self, host, a, prefix):
        host.nsbpf("expose", a.name, "5000:80")
        with a.tcp_echo(80):
            for address in ADDRESSES:
                session = host.tcp_session(prefix + address, 5000)
                assert (session.first["remote"], session.first["remote_port"]) == (prefix + address, 5000)
                assert session.ask()["data"] == "hello"

    @pytest.mark.parametrize("prefix", ["", "::ffff:"])
    @pytest.mark.parametrize("connect", [True, False])
    def test_udp(self, host, a, connect, prefix):
        host.nsbpf("expose", a.name, "5000:80/udp")
        with a.udp_echo(80):
            for address in ADDRESSES:
                session = host.udp_session(prefix + address, 5000, connect=connect)
                if connect:
                    assert (session.first["remote"], session.first["remote_port"]) == (prefix + address, 5000)
                for turn in range(3):
                    seen = session.ask(str(turn))
                    assert (seen["data"], seen["from"], seen["from_port"]) == (str(turn), prefix + address, 5000)

    def test_the_endpoint_itself(self, host, a):
        """Asked for by its own address it keeps that name, exposed or not."""
        host.nsbpf("expose", a.name, "5000/both")
        with a.tcp_echo(5000), a.udp_echo(5000):
            session = host.tcp_session(a.address, 5000)
            assert session.first["remote"] == a.address
            assert host.udp(a.address, 5000)["from"] == a.address


def test_one_udp_socket_with_several_exposed_ports(host, a):
    """An unconnected socket, as a resolver has: each answer bears the name that was asked."""
    b = host.add("b")
    host.nsbpf("expose", a.name, "5000/udp")
    host.nsbpf("expose", b.name, "5001/udp")
    program = """
import socket, sys
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(3)
for turn in range(3):
    for there in (("127.0.0.1", 5000), ("198.51.100.1", 5001)):
        sock.sendto(b"x", there)
        assert sock.recvfrom(999)[1] == there, there
"""
    with a.udp_echo(5000), b.udp_echo(5001):
        host.run("/usr/bin/python3", "-c", program)


def test_nothing_is_left_of_it_after_down(host, a):
    host.nsbpf("expose", a.name, "5000")
    with a.tcp_echo(5000):
        assert question(host, "tcp", "127.0.0.1", 5000)
    host.nsbpf("down")
    assert host.tcp("127.0.0.1", 5000)["error"] == "ECONNREFUSED"
    with host.tcp_echo(5000):
        assert question(host, "tcp", "127.0.0.1", 5000)["peer"] == "127.0.0.1"
