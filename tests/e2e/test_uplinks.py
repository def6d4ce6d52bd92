# SPDX-License-Identifier: GPL-2.0-only
"""Uplinks that change under traffic, and several of them: the FIB chooses, and no command has to say so again.

    a, b ---- host ---- up0 198.51.100.1 ---- 198.51.100.2 wan0   outside   203.0.113.2, 203.0.113.3, 192.0.2.77
                   ---- up1 198.18.0.1   ---- 198.18.0.2   wan1     (the same machine)

All of it in IPv6 as well: family.host, .via, .servers and .other_host, .other_via.
"""
import maps
import pytest
from nat import more_servers, udp_peer
from scapy.layers.inet import TCP, UDP
from topology import wait_for
from wire import echo, question

NEW = {4: "198.51.100.5", 6: "2001:db8:1::5"}
OTHER_VIA = {4: "198.51.100.3", 6: "fe80::3"}  # another gateway on up0's link
WORSE = 2048  # a metric; IPv6's usual one is 1024
SOON = 2.5  # a second, and a loaded machine


@pytest.fixture
def two_uplinks(host, family):
    """Both with a default route, up0's being the better one, before nsbpf comes."""
    more_servers(host.outside)
    host.connect(host, "up1", host.outside, "wan1")
    host.add_address(f"{family.other_host}/{family.link_length}", "up1")
    host.ip("route", "add", "default", "via", family.other_via, "metric", WORSE)
    host.outside.add_address(f"{family.other_via}/{family.link_length}", "wan1")
    # What comes in there leaves there: the outside is two providers.
    host.outside.ip("route", "add", family.other_host, "dev", "wan1")
    return host


def default_route(host, family, *more, via=None):
    host.ip("route", "replace", "default", "via", via or family.via, "dev", "up0", *more)


def renumber(host, family):
    """As a new DHCP lease does it."""
    new = f"{NEW[family.number]}/{family.link_length}"
    host.add_address(new, "up0")
    host.ip_batch(f"address del {family.host}/{family.link_length} dev up0",
                  f"address replace {new} dev up0{' nodad' if family.number == 6 else ''}")
    default_route(host, family)


def seen_as(netns, proto, port, address):
    return (netns.tcp if proto == "tcp" else netns.udp)(address, port, timeout=0.5).get("peer")


def ends(session):
    """How a TCP session ends that goes on for as long as its route is taken for granted, a second."""
    return wait_for(lambda: session.ask(timeout=15).get("error"), SOON + 10)


class TestAnotherAddress:
    """Cilium #34913, einat #34: the masquerade address was the one of the start."""

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_pitfall_cilium_34913_new_connections_have_it(self, host, a, proto, family):
        with echo(host.outside, proto, address=family.any) as server:
            assert seen_as(a, proto, server.port, family.far) == family.host
            renumber(host, family)
            wait_for(lambda: seen_as(a, proto, server.port, family.far) == NEW[family.number], SOON)

    def test_ping(self, host, a, family):
        assert a.ping(family.far).returncode == 0
        renumber(host, family)
        wait_for(lambda: a.ping(family.far, timeout=1).returncode == 0, SOON)

    def test_pitfall_einat_34_udp_goes_on(self, host, a, family):
        """One socket that nobody touches: QUIC and WireGuard live through this."""
        with host.outside.udp_echo(address=family.any) as server:
            peer = udp_peer(a, address=family.any)
            assert peer.ask(family.far, server.port, "before")[0] == family.host
            renumber(host, family)
            number = iter(range(100))

            def goes_on():
                peer.send(family.far, server.port, f"after{next(number)}")
                return [line for line in server.seen if line["peer"] == NEW[family.number]]
            wait_for(goes_on, SOON)
            assert peer.ask(family.far, server.port, "more")[0] == NEW[family.number]

    def test_a_tcp_connection_ends(self, host, a, family):
        """Its server knows it by another address: a reset at once is better than minutes of silence."""
        with host.outside.tcp_echo(address=family.any) as server:
            session = a.tcp_session(family.far, server.port, timeout=10.0)
            assert session.ask()["peer"] == family.host
            renumber(host, family)
            assert ends(session) == "ECONNRESET"
            assert a.tcp(family.far, server.port)["peer"] == NEW[family.number]

    def test_nothing_ends_while_the_address_is_the_hosts(self, host, a, family):
        """The route prefers another source from now on: that is for new connections."""
        host.add_address(f"{NEW[family.number]}/{family.link_length}", "up0")
        with host.outside.tcp_echo(address=family.any) as server, \
                host.outside.udp_echo(address=family.any) as datagrams:
            session, peer = a.tcp_session(family.far, server.port), udp_peer(a, address=family.any)
            before = session.ask(), peer.ask(family.far, datagrams.port, "before")
            default_route(host, family, "src", NEW[family.number])
            wait_for(lambda: seen_as(a, "tcp", server.port, family.far) == NEW[family.number], SOON)
            for turn in range(3):
                assert session.ask()["port"] == before[0]["port"]
                assert peer.ask(family.far, datagrams.port, f"after{turn}") == before[1]

    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_an_exposed_port_serves_it_at_once(self, host, a, proto, family):
        host.nsbpf("expose", a.name, f"5000/{proto}")
        with echo(a, proto, 5000, address=family.any):
            assert question(host.outside, proto, family.host, 5000)["peer"] == family.outside
            host.add_address(f"{family.second}/{family.length}", "up0")
            assert question(host.outside, proto, family.second, 5000)["peer"] == family.outside
            renumber(host, family)
            assert question(host.outside, proto, NEW[family.number], 5000)["peer"] == family.outside


# name: what sends some of the flows by the other uplink
CHOICES = {
    "by destination": "route add {servers[1]} via {other}",
    "by source": "rule add from {b} lookup 100",
    "by protocol": "rule add ipproto udp lookup 100",
    "by port": "rule add dport 8081 lookup 100",
    "by source and destination": "rule add from {b} to {servers[1]} lookup 100",
}


def goes_elsewhere(choice, family, name, proto, address, port):
    """By up1?"""
    second = address == family.servers[1]
    return {"by destination": second, "by source": name == "b", "by protocol": proto == "udp", "by port": port == 8081,
            "by source and destination": name == "b" and second}[choice]


@pytest.mark.parametrize("choice", CHOICES)
def test_pitfall_cilium_24252_policy_routing(two_uplinks, a, choice, family):
    """Every flow leaves where the host's own would, with that uplink's address, and is answered."""
    host, b = two_uplinks, two_uplinks.add("b")
    host.ip("route", "add", "default", "via", family.other_via, "table", "100")
    command = CHOICES[choice].format(servers=family.servers, other=family.other_via, b=b.address_of(family))
    host.ip(f"-{family.number}", *command.split())
    wans = {family.host: host.outside.capture("wan0"), family.other_host: host.outside.capture("wan1")}
    for proto in ("tcp", "udp"):
        for port in (8080, 8081):
            with echo(host.outside, proto, port, address=family.any):
                for name, netns in (("a", a), ("b", b)):
                    for address in family.servers:
                        other = goes_elsewhere(choice, family, name, proto, address, port)
                        seen = question(netns, proto, address, port)
                        expected = family.other_host if other else family.host
                        assert seen["peer"] == expected, (name, proto, address, port)
    for address, wan in wans.items():
        sent = [family.ends(p) for p in wan.packets if family.IP in p and (TCP in p or UDP in p)]
        assert {source for source, destination in sent if destination in family.servers} == {address}


def test_pitfall_cilium_39121_an_answer_by_the_other_uplink(two_uplinks, a, family):
    """Asymmetric routes: the answer to one uplink's address comes in by the other one."""
    host = two_uplinks
    host.outside.ip("route", "replace", family.host, "via", family.other_host, "dev", "wan1")
    for device in ("wan0", "wan1"):
        host.outside.sysctl(f"net.ipv4.conf.{device}.rp_filter", 0)
    for proto in ("tcp", "udp"):
        with echo(host.outside, proto, address=family.any) as server:
            assert question(a, proto, family.far, server.port)["peer"] == family.host
    assert a.ping(family.far).returncode == 0


class TestFailover:
    def fail(self, host, family, how):
        if how == "link down":
            host.ip("link", "set", "up0", "down")
        else:
            host.ip("route", "del", "default", "via", family.via, "dev", "up0")

    def recover(self, host, family, how):
        if how == "link down":
            host.ip("link", "set", "up0", "up")
            if family.number == 6:  # the kernel has forgotten its addresses
                host.add_address(f"{family.host}/64", "up0")
                host.add_address("fe80::1/64", "up0")
        default_route(host, family)

    @pytest.mark.parametrize("how", ["link down", "route gone"])
    @pytest.mark.parametrize("proto", ["tcp", "udp"])
    def test_new_connections(self, two_uplinks, a, proto, how, family):
        host = two_uplinks
        with echo(host.outside, proto, address=family.any) as server:
            assert seen_as(a, proto, server.port, family.far) == family.host
            self.fail(host, family, how)
            wait_for(lambda: seen_as(a, proto, server.port, family.far) == family.other_host, SOON)
            self.recover(host, family, how)
            wait_for(lambda: seen_as(a, proto, server.port, family.far) == family.host, SOON)

    @pytest.mark.parametrize("how", ["link down", "route gone"])
    def test_udp_goes_on(self, two_uplinks, a, how, family):
        host = two_uplinks
        with host.outside.udp_echo(address=family.any) as server:
            peer = udp_peer(a, address=family.any)
            assert peer.ask(family.far, server.port, "before")[0] == family.host
            self.fail(host, family, how)
            number = iter(range(100))

            def goes_on():
                peer.send(family.far, server.port, f"after{next(number)}")
                return [line for line in server.seen if line["peer"] == family.other_host]
            wait_for(goes_on, SOON)
            assert peer.ask(family.far, server.port, "more")[0] == family.other_host

    def test_a_tcp_connection_ends(self, two_uplinks, a, family):
        """By the other provider its packets would be from a stranger: its server says so."""
        host = two_uplinks
        with host.outside.tcp_echo(address=family.any) as server:
            session = a.tcp_session(family.far, server.port, timeout=10.0)
            assert session.ask()["peer"] == family.host
            self.fail(host, family, "route gone")
            assert ends(session) == "ECONNRESET"

    def test_another_gateway_of_the_same_uplink_ends_nothing(self, host, a, family):
        host.outside.add_address(f"{OTHER_VIA[family.number]}/{family.link_length}", "wan0")
        with host.outside.tcp_echo(address=family.any) as server:
            session = a.tcp_session(family.far, server.port)
            before = session.ask()["port"]
            default_route(host, family, via=OTHER_VIA[family.number])
            wait_for(lambda: a.tcp(family.far, server.port, timeout=0.5).get("peer") == family.host, SOON)
            assert session.ask()["port"] == before


def add_second(host, family):
    """Not one that the host would take by itself."""
    host.ip("address", "add", f"{family.second}/{family.length}", "dev", "up0",
            *(["nodad", "preferred_lft", "0"] if family.number == 6 else []))


@pytest.mark.parametrize("address, more, taken", [
    ("fd00:5::5/64", ["nodad"], True),  # better than none
    ("2001:db8:1::5/64", ["nodad"], True),
    ("2001:db8:1::5/64", ["nodad", "preferred_lft", "0"], False),
    ("2001:db8:1::5/64", ["nodad", "scope", "link"], True),  # an IPv6 address has the scope that it is made of
    ("fe80::5/64", ["nodad"], False),
    ("2001:db8:1::5/64", [], "soon"),  # tentative
])
@pytest.mark.families(6)
def test_the_address_of_an_uplink(host, a, address, more, taken):
    """Masquerade takes it where the kernel does not name one: of those that the host would take itself."""
    host.ip("-6", "address", "flush", "dev", "up0", "scope", "global")
    host.ip("address", "add", address, "dev", "up0", *more)

    def shown():
        host.nsbpf("uplink", "add", "up0")
        uplink, = host.json("uplink", "list")
        return uplink["address6"]
    if taken == "soon":
        assert wait_for(shown, 5) == address.split("/")[0]
    else:
        assert shown() == (address.split("/")[0] if taken else None)


@pytest.mark.families(6)
def test_a_global_address_is_better_than_a_unique_local_one(host, a):
    for number in (1, 2):
        host.add_address(f"fd00:5::{number}/64", "up0")
    host.nsbpf("uplink", "add", "up0")
    assert [uplink["address6"] for uplink in host.json("uplink", "list")] == ["2001:db8:1::1"]


def test_where_packets_go_while_the_fib_can_not_be_asked(two_uplinks, a, family):
    """The uplink of the best default route of each family."""
    name = "default_uplink6" if family.number == 6 else "default_uplink"
    indexes = [two_uplinks.link(device)["ifindex"] for device in ("up0", "up1")]
    assert maps.entry(two_uplinks, "settings")[name] == indexes[0]
    two_uplinks.ip("route", "add", "default", "via", family.other_via, "metric", "10")
    default_route(two_uplinks, family, "metric", WORSE + 1)
    two_uplinks.ip(f"-{family.number}", "route", "del", "default", "via", family.via, "dev", "up0", "metric",
                   "1024" if family.number == 6 else "0")
    two_uplinks.nsbpf("uplink", "add", "up0")
    assert maps.entry(two_uplinks, "settings")[name] == indexes[1]


class TestChosenAddress:
    @pytest.fixture
    def chosen(self, host, family):
        """An endpoint of a network with an address of its own for the outside."""
        add_second(host, family)
        host.nsbpf("network", "add", "chosen", "--masquerade", family.second)
        return host.add("chosen", "--network", "chosen")

    def test_of_several(self, host, a, chosen, family):
        for proto in ("tcp", "udp"):
            with echo(host.outside, proto, address=family.any) as server:
                assert question(chosen, proto, family.far, server.port)["peer"] == family.second
                assert question(a, proto, family.far, server.port)["peer"] == family.host
        wan = host.outside.capture("wan0")
        assert chosen.ping(family.far).returncode == 0
        wan.expect(lambda p: family.IP in p and family.ends(p) == (family.second, family.far))

    def test_each_address_has_all_ports(self, host, a, chosen, family):
        """One port, one server, two endpoints: no collision, as the addresses tell them apart."""
        with host.outside.udp_echo(address=family.any) as server:
            seen = [udp_peer(netns, 7777, family.any).ask(family.far, server.port, netns.name) for netns in (a, chosen)]
        assert seen == [(family.host, 7777), (family.second, 7777)]

    def test_hairpin_has_it_too(self, host, a, chosen, family):
        host.nsbpf("expose", a.name, "5000")
        with a.tcp_echo(5000, address=family.any):
            assert question(chosen, "tcp", family.host, 5000)["peer"] == family.second

    def test_an_address_that_the_host_has_lost_is_none(self, host, a, chosen, family):
        """Not even for a connection that is there; and it is one again as soon as it is back."""
        with host.outside.udp_echo(address=family.any) as server:
            session = chosen.udp_session(family.far, server.port, connect=True)
            assert session.ask()["peer"] == family.second
            host.ip("address", "del", f"{family.second}/{family.length}", "dev", "up0")
            wait_for(lambda: "error" in chosen.udp(family.far, server.port, timeout=0.3), 5)
            wait_for(lambda: host.json()["drops"]["no-address"] > 0, 5)
            assert question(a, "udp", family.far, server.port)["peer"] == family.host
            add_second(host, family)
            assert question(chosen, "udp", family.far, server.port)["peer"] == family.second
