# SPDX-License-Identifier: GPL-2.0-only
"""Uplinks that change under traffic, and several of them: the FIB chooses, and no command has to say so again.

    a, b ---- host ---- up0 198.51.100.1 ---- 198.51.100.2 wan0   outside   203.0.113.2, 203.0.113.3, 192.0.2.77
                   ---- up1 198.18.0.1   ---- 198.18.0.2   wan1     (the same machine)
"""
import pytest
from nat import SERVERS, more_servers, udp_peer
from scapy.layers.inet import IP, TCP, UDP
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR, wait_for
from wire import SECOND_ADDRESS, echo, question

OTHER_ADDRESS, OTHER_GATEWAY = "198.18.0.1", "198.18.0.2"
NEW_ADDRESS = "198.51.100.5"
SOON = 2.5  # a second, and a loaded machine


@pytest.fixture
def two_uplinks(host):
    """Both with a default route, up0's being the better one, before nsbpf comes."""
    more_servers(host.outside)
    host.connect(host, "up1", host.outside, "wan1")
    host.ip_batch(f"address add {OTHER_ADDRESS}/24 dev up1", f"route add default via {OTHER_GATEWAY} metric 100")
    host.outside.ip("address", "add", f"{OTHER_GATEWAY}/24", "dev", "wan1")
    # What comes in there leaves there: the outside is two providers.
    host.outside.ip_batch(f"route add {OTHER_ADDRESS} via {OTHER_ADDRESS} dev wan1")
    return host


@pytest.fixture
def a(host):
    return host.add("a")


def renumber(host):
    """As a new DHCP lease does it."""
    host.ip_batch(f"address add {NEW_ADDRESS}/24 dev up0", f"address del {HOST_ADDRESS}/24 dev up0",
                  f"address replace {NEW_ADDRESS}/24 dev up0", f"route replace default via {OUTSIDE_ADDRESS}")


def seen_as(netns, proto, port, address=OUTSIDE_FAR):
    return (netns.tcp if proto == "tcp" else netns.udp)(address, port, timeout=0.5).get("peer")


def ends(session):
    """How a TCP session ends that goes on for as long as its route is taken for granted, a second."""
    return wait_for(lambda: session.ask(timeout=15).get("error"), SOON + 10)


class TestAnotherAddress:
    """Cilium #34913, einat #34: the masquerade address was the one of the start."""

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_pitfall_cilium_34913_new_connections_have_it(self, host, a, proto):
        with echo(host.outside, proto) as server:
            assert seen_as(a, proto, server.port) == HOST_ADDRESS
            renumber(host)
            wait_for(lambda: seen_as(a, proto, server.port) == NEW_ADDRESS, SOON)

    def test_ping(self, host, a):
        assert a.ping(OUTSIDE_FAR).returncode == 0
        renumber(host)
        wait_for(lambda: a.ping(OUTSIDE_FAR, timeout=1).returncode == 0, SOON)

    def test_pitfall_einat_34_udp_goes_on(self, host, a):
        """One socket that nobody touches: QUIC and WireGuard live through this."""
        with host.outside.udp_echo() as server:
            peer = udp_peer(a)
            assert peer.ask(OUTSIDE_FAR, server.port, "before")[0] == HOST_ADDRESS
            renumber(host)
            number = iter(range(100))

            def goes_on():
                peer.send(OUTSIDE_FAR, server.port, f"after{next(number)}")
                return [line for line in server.seen if line["peer"] == NEW_ADDRESS]
            wait_for(goes_on, SOON)
            assert peer.ask(OUTSIDE_FAR, server.port, "more")[0] == NEW_ADDRESS

    def test_a_tcp_connection_ends(self, host, a):
        """Its server knows it by another address: a reset at once is better than minutes of silence."""
        with host.outside.tcp_echo() as server:
            session = a.tcp_session(OUTSIDE_FAR, server.port, timeout=10.0)
            assert session.ask()["peer"] == HOST_ADDRESS
            renumber(host)
            assert ends(session) == "ECONNRESET"
            assert a.tcp(OUTSIDE_FAR, server.port)["peer"] == NEW_ADDRESS

    def test_nothing_ends_while_the_address_is_the_hosts(self, host, a):
        """The route prefers another source from now on: that is for new connections."""
        host.ip("address", "add", NEW_ADDRESS + "/24", "dev", "up0")
        with host.outside.tcp_echo() as server, host.outside.udp_echo() as datagrams:
            session, peer = a.tcp_session(OUTSIDE_FAR, server.port), udp_peer(a)
            before = session.ask(), peer.ask(OUTSIDE_FAR, datagrams.port, "before")
            host.ip("route", "replace", "default", "via", OUTSIDE_ADDRESS, "src", NEW_ADDRESS)
            wait_for(lambda: seen_as(a, "tcp", server.port) == NEW_ADDRESS, SOON)
            for turn in range(3):
                assert session.ask()["port"] == before[0]["port"]
                assert peer.ask(OUTSIDE_FAR, datagrams.port, f"after{turn}") == before[1]

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_an_exposed_port_serves_it_at_once(self, host, a, proto):
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000):
            assert question(host.outside, proto, HOST_ADDRESS, 5000)["peer"] == OUTSIDE_ADDRESS
            host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
            assert question(host.outside, proto, SECOND_ADDRESS, 5000)["peer"] == OUTSIDE_ADDRESS
            renumber(host)
            assert question(host.outside, proto, NEW_ADDRESS, 5000)["peer"] == OUTSIDE_ADDRESS


# name: what sends some of the flows by the other uplink
CHOICES = {
    "by destination": ["route add 203.0.113.3 via 198.18.0.2"],
    "by source": ["rule add from {b} lookup 100"],
    "by protocol": ["rule add ipproto udp lookup 100"],
    "by port": ["rule add dport 8081 lookup 100"],
    "by source and destination": ["rule add from {b} to 203.0.113.0/24 lookup 100"],
}


def goes_elsewhere(choice, name, proto, address, port):
    """By up1?"""
    return {"by destination": address == "203.0.113.3", "by source": name == "b", "by protocol": proto == "udp",
            "by port": port == 8081, "by source and destination": name == "b" and address != "192.0.2.77"}[choice]


@pytest.mark.parametrize("choice", CHOICES)
def test_pitfall_cilium_24252_policy_routing(two_uplinks, a, choice):
    """Every flow leaves where the host's own would, with that uplink's address, and is answered."""
    host, b = two_uplinks, two_uplinks.add("b")
    host.ip_batch("route add default via 198.18.0.2 table 100",
                  *(command.format(b=b.address) for command in CHOICES[choice]))
    wans = {HOST_ADDRESS: host.outside.capture("wan0"), OTHER_ADDRESS: host.outside.capture("wan1")}
    for proto in ("tcp", "udp"):
        for port in (8080, 8081):
            with echo(host.outside, proto, port):
                for name, netns in (("a", a), ("b", b)):
                    for address in SERVERS:
                        other = goes_elsewhere(choice, name, proto, address, port)
                        seen = question(netns, proto, address, port)
                        assert seen["peer"] == (OTHER_ADDRESS if other else HOST_ADDRESS), (name, proto, address, port)
    for address, wan in wans.items():
        sent = [p for p in wan.packets if IP in p and (TCP in p or UDP in p) and p[IP].dst in SERVERS]
        assert sent and {p[IP].src for p in sent} == {address}


def test_pitfall_cilium_39121_an_answer_by_the_other_uplink(two_uplinks, a):
    """Asymmetric routes: the answer to one uplink's address comes in by the other one."""
    host = two_uplinks
    host.outside.ip("route", "replace", HOST_ADDRESS, "via", OTHER_ADDRESS, "dev", "wan1")
    for device in ("wan0", "wan1"):
        host.outside.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
    for proto in ("tcp", "udp"):
        with echo(host.outside, proto) as server:
            assert question(a, proto, OUTSIDE_FAR, server.port)["peer"] == HOST_ADDRESS
    assert a.ping(OUTSIDE_FAR).returncode == 0


class TestFailover:
    def fail(self, host, how):
        if how == "link down":
            host.ip("link", "set", "up0", "down")
        else:
            host.ip("route", "del", "default", "via", OUTSIDE_ADDRESS)

    @pytest.mark.parametrize("how", ["link down", "route gone"])
    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_new_connections(self, two_uplinks, a, proto, how):
        host = two_uplinks
        with echo(host.outside, proto) as server:
            assert seen_as(a, proto, server.port) == HOST_ADDRESS
            self.fail(host, how)
            wait_for(lambda: seen_as(a, proto, server.port) == OTHER_ADDRESS, SOON)
            host.ip("link", "set", "up0", "up")
            host.ip("route", "replace", "default", "via", OUTSIDE_ADDRESS)
            wait_for(lambda: seen_as(a, proto, server.port) == HOST_ADDRESS, SOON)

    @pytest.mark.parametrize("how", ["link down", "route gone"])
    def test_udp_goes_on(self, two_uplinks, a, how):
        host = two_uplinks
        with host.outside.udp_echo() as server:
            peer = udp_peer(a)
            assert peer.ask(OUTSIDE_FAR, server.port, "before")[0] == HOST_ADDRESS
            self.fail(host, how)
            number = iter(range(100))

            def goes_on():
                peer.send(OUTSIDE_FAR, server.port, f"after{next(number)}")
                return [line for line in server.seen if line["peer"] == OTHER_ADDRESS]
            wait_for(goes_on, SOON)
            assert peer.ask(OUTSIDE_FAR, server.port, "more")[0] == OTHER_ADDRESS

    def test_a_tcp_connection_ends(self, two_uplinks, a):
        """By the other provider its packets would be from a stranger: its server says so."""
        host = two_uplinks
        with host.outside.tcp_echo() as server:
            session = a.tcp_session(OUTSIDE_FAR, server.port, timeout=10.0)
            assert session.ask()["peer"] == HOST_ADDRESS
            self.fail(host, "route gone")
            assert ends(session) == "ECONNRESET"

    def test_another_gateway_of_the_same_uplink_ends_nothing(self, host, a):
        host.outside.ip("address", "add", "198.51.100.3/24", "dev", "wan0")
        with host.outside.tcp_echo() as server:
            session = a.tcp_session(OUTSIDE_FAR, server.port)
            before = session.ask()["port"]
            host.ip("route", "replace", "default", "via", "198.51.100.3")
            wait_for(lambda: a.tcp(OUTSIDE_FAR, server.port, timeout=0.5).get("peer") == HOST_ADDRESS, SOON)
            assert session.ask()["port"] == before


class TestChosenAddress:
    @pytest.fixture
    def chosen(self, host):
        """An endpoint of a network with an address of its own for the outside."""
        host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
        host.nsbpf("network", "add", "chosen", "--subnet", "10.98.0.0/24", "--masquerade", SECOND_ADDRESS)
        return host.add("chosen", "--network", "chosen")

    def test_of_several(self, host, a, chosen):
        for proto in ("tcp", "udp"):
            with echo(host.outside, proto) as server:
                assert question(chosen, proto, OUTSIDE_FAR, server.port)["peer"] == SECOND_ADDRESS
                assert question(a, proto, OUTSIDE_FAR, server.port)["peer"] == HOST_ADDRESS
        wan = host.outside.capture("wan0")
        assert chosen.ping(OUTSIDE_FAR).returncode == 0
        wan.expect(lambda p: IP in p and (p[IP].src, p[IP].dst) == (SECOND_ADDRESS, OUTSIDE_FAR))

    def test_each_address_has_all_ports(self, host, a, chosen):
        """One port, one server, two endpoints: no collision, as the addresses tell them apart."""
        with host.outside.udp_echo() as server:
            seen = [udp_peer(netns, 7777).ask(OUTSIDE_FAR, server.port, netns.name) for netns in (a, chosen)]
        assert seen == [(HOST_ADDRESS, 7777), (SECOND_ADDRESS, 7777)]

    def test_hairpin_has_it_too(self, host, a, chosen):
        host.nsbpf("expose", a.name, "5000")
        with a.tcp_echo(5000):
            assert question(chosen, "tcp", HOST_ADDRESS, 5000)["peer"] == SECOND_ADDRESS

    def test_an_address_that_the_host_has_lost_is_none(self, host, a, chosen):
        """Not even for a connection that is there; and it is one again as soon as it is back."""
        with host.outside.udp_echo() as server:
            session = chosen.udp_session(OUTSIDE_FAR, server.port, connect=True)
            assert session.ask()["peer"] == SECOND_ADDRESS
            host.ip("address", "del", SECOND_ADDRESS + "/32", "dev", "up0")
            wait_for(lambda: "error" in chosen.udp(OUTSIDE_FAR, server.port, timeout=0.3), 5)
            wait_for(lambda: host.json()["drops"]["no-address"] > 0, 5)
            assert question(a, "udp", OUTSIDE_FAR, server.port)["peer"] == HOST_ADDRESS
            host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
            assert question(chosen, "udp", OUTSIDE_FAR, server.port)["peer"] == SECOND_ADDRESS
