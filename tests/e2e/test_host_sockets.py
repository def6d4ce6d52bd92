# SPDX-License-Identifier: GPL-2.0-only
"""The host's own sockets reach exposed ports by loopback addresses and by its own; those of others are let alone.

That is done by hooks in cgroup2, which know neither TCX links nor clsact filters.
"""
import pytest
from exposing import PROTOS, add_addresses, answers, echoes, other_family
from families import Family4, Family6
from wire import echo, question


def addresses(family):
    more = ["127.1.2.3"] if family.number == 4 else []
    return [family.loopback, *more, family.host, family.second, family.third]


@pytest.fixture
def a(host, family):
    add_addresses(host, family)
    return host.add("a")


class TestReached:
    def test_pitfall_cilium_6381_by_every_address(self, host, a, family):
        host.nsbpf("expose", a.name, "5000:80/both")
        with echoes(a, 80, family.any):
            for address in (*addresses(family), a.gateway_of(family)):
                for seen in answers(host, address, 5000):
                    assert (seen["local"], seen["local_port"]) == (a.address_of(family), 80)
                    assert seen["peer"] == a.gateway_of(family)  # no loopback address: that is the endpoint's own, too

    @pytest.mark.parametrize("exposed", ["any", "loopback"])
    def test_the_unspecified_address_is_loopback(self, host, a, family, exposed):
        """To connect to 0.0.0.0 or :: is to connect to 127.0.0.1 or ::1, and getpeername() says so."""
        host.nsbpf("expose", a.name, "5000/both" if exposed == "any" else family.at(family.loopback, "5000/both"))
        with echoes(a, 5000, family.any):
            for session in (host.tcp_session(family.any, 5000), host.udp_session(family.any, 5000, connect=True)):
                assert session.first["remote"] == family.loopback
                assert session.ask()["local"] == a.address_of(family)
            assert host.udp(family.any, 5000)["from"] == family.loopback

    def test_bound_to_loopback(self, host, a, family):
        """Told at once that this can't be: from a loopback address no packet may leave for an endpoint, nor come back."""
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(a, 5000, family.any):
            for proto in PROTOS:
                asked = getattr(host, proto)(family.loopback, 5000, source=family.loopback)
                assert asked["error"] == "EINVAL"

    @pytest.mark.parametrize("family", [Family4], ids=["ip4"])
    def test_v4_mapped(self, host, a, family):
        """An AF_INET6 socket that talks IPv4, as Java and Go programs use them."""
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(a, 5000, family.any):
            for address in addresses(family):
                for seen in answers(host, "::ffff:" + address, 5000):
                    assert (seen["local"], seen["local_port"]) == (a.address, 5000)

    def test_a_local_server_on_another_port_is_the_hosts(self, host, a, family):
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(host, 5001, family.any), echoes(a, 5001, family.any):
            for address in addresses(family):
                for seen in answers(host, address, 5001):
                    assert seen["local"] == address

    def test_of_the_other_family_is_the_hosts(self, host, a, family):
        """Exposed on an address, a port of the other family's is free for the host's own server."""
        other = other_family(family)
        host.nsbpf("expose", a.name, family.at(family.loopback, "5000/both"))
        with echoes(host, 5000, other.loopback), echoes(a, 5000, family.any):
            for seen in answers(host, family.loopback, 5000):
                assert seen["local"] == a.address_of(family)
            for seen in answers(host, other.loopback, 5000):
                assert seen["local"] == other.loopback

    def test_an_address_that_is_added_later(self, host, a, family):
        """The hooks know the host's addresses from a map: any later command brings it up to date."""
        later = {4: "172.22.0.1", 6: "2001:db8:22::1"}[family.number]
        host.nsbpf("expose", a.name, "5000/both")
        host.ip("address", "add", f"{later}/{family.length}", "dev", "lo")
        host.nsbpf("expose", a.name, "5001/tcp")
        with echoes(a, 5000, family.any):
            for seen in answers(host, later, 5000):
                assert seen["local"] == a.address_of(family)

    @pytest.mark.parametrize("family", [Family6], ids=["ip6"])
    def test_a_link_local_address_is_the_hosts(self, host, a, family):
        host.nsbpf("expose", a.name, "5000/tcp")
        with a.tcp_echo(5000, "::"):
            assert question(host, "tcp", "::1", 5000)["local"] == a.address6
            assert host.tcp("fe80::1%up0", 5000)["error"] == "ECONNREFUSED"

    def test_other_places_are_let_alone(self, host, a, family):
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(host.outside, 5000, family.any):
            for seen in answers(host, family.outside, 5000):
                assert (seen["peer"], seen["local"]) == (family.host, family.outside)

    @pytest.mark.parametrize("proto", PROTOS)
    def test_other_namespaces_are_let_alone(self, host, a, proto, family):
        """Same addresses, same port, another namespace: the hooks hang on the cgroup that all of them are in."""
        other = host.machine("x")
        other.ip("address", "add", f"{family.host}/{family.length}", "dev", "lo")
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000, family.any), echo(other, proto, 5000, family.any), \
                echo(host.outside, proto, 5000, family.any):
            for netns, address in ((other, family.loopback), (other, family.host), (host.outside, family.loopback),
                                   (host.outside, family.outside), (a, family.loopback)):
                seen = question(netns, proto, address, 5000)
                assert seen["peer"] in (address, family.host, family.outside), (netns.name, address, seen)
                assert seen["peer"] != a.gateway_of(family)
        with echo(a, proto, 5000, family.any):
            assert getattr(other, proto)(family.loopback, 5000, timeout=0.5).get("error")


class TestPeerName:
    """What was asked for is what getpeername() and recvfrom() show."""

    def names(self, family):
        prefixes = ("", "::ffff:") if family.number == 4 else ("",)
        return [prefix + address for prefix in prefixes for address in addresses(family)]

    def test_tcp(self, host, a, family):
        host.nsbpf("expose", a.name, "5000:80")
        with a.tcp_echo(80, family.any):
            for name in self.names(family):
                session = host.tcp_session(name, 5000)
                assert (session.first["remote"], session.first["remote_port"]) == (name, 5000)
                assert session.ask()["data"] == "hello"

    @pytest.mark.parametrize("connect", [True, False])
    def test_udp(self, host, a, connect, family):
        host.nsbpf("expose", a.name, "5000:80/udp")
        with a.udp_echo(80, family.any):
            for name in self.names(family):
                session = host.udp_session(name, 5000, connect=connect)
                if connect:
                    assert (session.first["remote"], session.first["remote_port"]) == (name, 5000)
                for turn in range(3):
                    seen = session.ask(str(turn))
                    assert (seen["data"], seen["from"], seen["from_port"]) == (str(turn), name, 5000)

    def test_the_endpoint_itself(self, host, a, family):
        """Asked for by its own address it keeps that name, exposed or not."""
        address = a.address_of(family)
        host.nsbpf("expose", a.name, "5000/both")
        with echoes(a, 5000, family.any):
            assert host.tcp_session(address, 5000).first["remote"] == address
            assert host.udp(address, 5000)["from"] == address


def test_one_udp_socket_with_several_exposed_ports(host, a, family):
    """An unconnected socket, as a resolver has: each answer bears the name that was asked."""
    b = host.add("b")
    host.nsbpf("expose", a.name, "5000/udp")
    host.nsbpf("expose", b.name, "5001/udp")
    program = """
import socket, sys
loopback, host = sys.argv[1:]
sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
sock.settimeout(3)
for turn in range(3):
    for there in ((loopback, 5000), (host, 5001)):
        sock.sendto(b"x", there)
        assert sock.recvfrom(999)[1][:2] == there, there
"""
    with a.udp_echo(5000, family.any), b.udp_echo(5001, family.any):
        host.run("/usr/bin/python3", "-c", program, family.loopback, family.host)


@pytest.mark.families("both")
def test_one_udp_socket_with_both_families(host):
    """The same on [::], where IPv4 is by mapped addresses."""
    a = host.add("a")
    host.nsbpf("expose", a.name, "5000/udp")
    program = """
import socket
sock = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
sock.settimeout(3)
for turn in range(3):
    for there in (("::1", 5000), ("::ffff:127.0.0.1", 5000)):
        sock.sendto(b"x", there)
        assert sock.recvfrom(999)[1][:2] == there, there
"""
    with a.udp_echo(5000, "::"):
        host.run("/usr/bin/python3", "-c", program)


def test_nothing_is_left_of_it_after_down(host, a, family):
    host.nsbpf("expose", a.name, "5000")
    with a.tcp_echo(5000, family.any):
        assert question(host, "tcp", family.loopback, 5000)
    host.nsbpf("down")
    assert host.tcp(family.loopback, 5000)["error"] == "ECONNREFUSED"
    with host.tcp_echo(5000, family.any):
        assert question(host, "tcp", family.loopback, 5000)["peer"] == family.loopback
