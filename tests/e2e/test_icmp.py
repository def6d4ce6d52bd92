# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors between real stacks: traceroute, path MTU discovery, ports where nobody listens.

     namespace a            host              outside               far
    10.80.0.2 ---- 10.80.0.1, 198.51.100.1 ---- 198.51.100.2, 192.0.2.1 ---- 192.0.2.2
    ULA::2         ULA::1, 2001:db8:1::1        2001:db8:1::2, 2001:db8:b::1 ---- 2001:db8:b::2
"""
import pytest
from scapy.layers.inet import UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Tool, learned, traceroute
from topology import wait_for
from wire import bulk, echo, question, wrong_checksums

MEBIBYTE = 1 << 20


@pytest.fixture
def far(host, family):
    """One more hop behind the outside machine, which is a router now."""
    far = host.machine("f")
    host.connect(host.outside, "wan1", far, "far0")
    host.outside.add_address(f"{family.router}/{family.link_length}", "wan1")
    far.add_address(f"{family.beyond}/{family.link_length}", "far0")
    far.ip("route", "add", "default", "via", family.router)
    host.outside.sysctl(f"{family.conf}.conf.all.forwarding", "1")
    for netns in (host.outside, far):
        netns.sysctl(family.icmp_ratelimit, "0")
    return far


def port_unreachable(proto, family, address):
    """How a traceroute ends where nobody listens."""
    return {"udp": (address, *family.PORT_UNREACHABLE), "tcp": "ECONNREFUSED", "ping": True}[proto]


@pytest.mark.attach
class TestTraceroute:
    """Every hop once, in both directions."""

    @pytest.mark.parametrize("proto", ["udp", "tcp", "ping"])
    def test_pitfall_cilium_27616_to_the_outside(self, host, a, far, proto, family):
        inside, wan = a.capture("eth0"), host.outside.capture("wan0")
        hops = traceroute(a, proto, family.beyond, 33434)
        assert hops == [(a.gateway_of(family), *family.TIME_EXCEEDED), (family.outside, *family.TIME_EXCEEDED),
                        port_unreachable(proto, family, family.beyond)]
        count = len([hop for hop in hops if isinstance(hop, tuple)])
        errors = inside.expect(family.error, count=count)
        assert len(errors) == count
        assert not [wrong_checksums(p) for p in errors if wrong_checksums(p)]
        # What the first hop answered did not go on.
        probes = wan.expect(lambda p: family.IP in p and p[family.IP].dst == family.beyond, count=2)
        assert {family.hops(p) for p in probes[:2]} == {1, 2}
        assert not wan.matching(lambda p: family.IP in p and p[family.IP].src == a.address_of(family))

    @pytest.mark.parametrize("proto", ["udp", "tcp"])
    @pytest.mark.parametrize("listening", [False, True])
    def test_from_outside_to_an_exposed_port(self, host, a, far, proto, listening, family):
        host.nsbpf("expose", a.name, f"5000:80/{proto}")
        server = echo(a, proto, 80, family.any) if listening else None
        hops = traceroute(far, proto, family.host, 5000)
        assert hops == [(family.router, *family.TIME_EXCEEDED), (family.host, *family.TIME_EXCEEDED),
                        True if server else port_unreachable(proto, family, family.host)]

    @pytest.mark.parametrize("proto", ["udp", "tcp"])
    def test_checksums_that_the_uplink_completes(self, host, a, far, proto, family):
        """The probes come by veth, their checksums still to be filled in (CHECKSUM_PARTIAL): not so the error's."""
        host.nsbpf("expose", a.name, f"5000/{proto}")
        host.run("ethtool", "-K", "up0", "tx", "off")
        wire = far.capture("far0")
        hops = traceroute(far, proto, family.host, 5000)
        assert hops[:2] == [(family.router, *family.TIME_EXCEEDED), (family.host, *family.TIME_EXCEEDED)]
        for error in wire.expect(lambda p: family.error(p) == family.TIME_EXCEEDED, count=2):
            assert not wrong_checksums(error)

    @pytest.mark.parametrize("proto", ["udp", "tcp"])
    def test_hairpin(self, host, a, b, proto, family):
        host.nsbpf("expose", a.name, f"5000:80/{proto}")
        for client in (a, b):
            assert traceroute(client, proto, family.host, 5000) == [
                (client.gateway_of(family), *family.TIME_EXCEEDED), port_unreachable(proto, family, family.host)]

    def test_between_networks(self, host, a, family):
        host.nsbpf("network", "add", "red", "--subnet", "10.90.0.0/24", "--isolate", "off")
        host.nsbpf("network", "set", "default", "--isolate", "off")
        c = host.add("c", "--network", "red")
        for source, target in ((a, c), (c, a)):
            address = target.address_of(family)
            assert traceroute(source, "udp", address, 9) == [(source.gateway_of(family), *family.TIME_EXCEEDED),
                                                             (address, *family.PORT_UNREACHABLE)]


@pytest.mark.attach
class TestNobodyListens:
    def test_udp(self, host, a, b, family):
        """The port-unreachable reaches the socket that sent the datagram, whichever way it took."""
        host.nsbpf("expose", a.name, "5000:80/udp")
        for client, address, port in ((a, family.outside, 9), (a, family.far, 9), (host.outside, family.host, 5000),
                                      (b, family.host, 5000), (a, family.host, 5000), (host, family.host, 5000),
                                      (host, family.loopback, 5000), (b, a.address_of(family), 9), (a, family.host, 9)):
            assert client.udp(address, port, connect=True)["error"] == "ECONNREFUSED", (client.name, address)

    def test_tcp(self, host, a, b, family):
        host.nsbpf("expose", a.name, "5000:80")
        for client, address, port in ((a, family.outside, 9), (a, family.far, 9), (host.outside, family.host, 5000),
                                      (b, family.host, 5000), (a, family.host, 5000), (host, family.host, 5000),
                                      (host, family.loopback, 5000), (b, a.address_of(family), 9), (a, family.host, 9)):
            assert client.tcp(address, port)["error"] == "ECONNREFUSED", (client.name, address)

    def test_an_answer_that_comes_too_late(self, host, a, family):
        """The endpoint's own error, about what came back through masquerade, is the host's on the wire."""
        with host.outside.udp_echo(address=family.any) as server:
            seen = question(a, "udp", family.far, server.port)
        wan = host.outside.capture("wan0")
        late = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"]) / \
            family.ip(family.far, family.host) / UDP(sport=server.port, dport=seen["port"]) / Raw(b"late")
        host.outside.send("wan0", late)
        error, = wan.expect(family.error)
        assert (*family.ends(error), family.error(error)) == (family.host, family.far, family.PORT_UNREACHABLE)
        arrived = family.ip(family.far, family.host, hops=63) / late[UDP]
        assert bytes(family.error_layer(error).payload) == bytes(arrived)
        assert not wrong_checksums(error)

    def test_what_routes_say(self, host, a, family):
        """Instead of a time-out; at once, or, as between two Linux machines, about the second SYN of IPv6's TCP."""
        unreachable, prohibited, nowhere = family.servers
        host.ip_batch(f"route add unreachable {unreachable}", f"route add prohibit {prohibited}",
                      f"route add blackhole {nowhere}")
        for address, error in ((unreachable, "EHOSTUNREACH"), (prohibited, family.prohibited_error),
                               (nowhere, "timeout")):
            assert a.tcp(address, 80, timeout=2.5)["error"] == error, address
        host.ip_batch(f"route del unreachable {unreachable}")
        host.ip(f"-{family.number}", "route", "del", "default")
        assert a.tcp(family.far, 80)["error"] == "ENETUNREACH"


# MTU of: the endpoint, the uplink, the host's route to the far end, the link behind the router; and what the endpoint learns.
PATHS = {
    "all the same": (1500, 1500, None, 1500, None),
    "route": (1500, 1500, 1400, 1500, 1400),
    "locked route": (1500, 1500, "lock 1400", 1500, 1400),
    "router": (1500, 1500, None, 1400, 1400),
    "route, then router": (1500, 1500, 1450, 1400, 1400),
    "router has the larger one": (1500, 1500, 1400, 1450, 1400),
    "jumbo": (9000, 9000, None, 9000, None),
    "jumbo, router": (9000, 9000, None, 1500, 1500),
    "jumbo, route": (9000, 9000, 1500, 9000, 1500),
    "jumbo, locked route, then router": (9000, 9000, "lock 4000", 1400, 1400),
    "jumbo, route, then router": (9000, 9000, 4000, 1400, 1400),
    "jumbo endpoint, uplink": (9000, 1500, None, 9000, 1500),
    "jumbo endpoint, small uplink": (9000, 1400, None, 1500, 1400),
    "jumbo endpoint, uplink, router": (9000, 1500, None, 1400, 1400),
}
# Linux' own forwarding of IPv6 heeds a route's MTU only if it is locked (ip6_dst_mtu_maybe_forward()), and so does
# bpf_fib_lookup().
LEARNED6 = {"route": None, "router has the larger one": 1450, "jumbo, route": None}


class TestPathMtu:
    def build(self, host, family, far, path):
        """The endpoint, and what it will learn."""
        endpoint, uplink, route, router, wanted = PATHS[path]
        if family.number == 6:
            wanted = LEARNED6.get(path, wanted)
        # The router's MTU is one of its route: the far end's own segment size must tell nothing about the way.
        host.ip("link", "set", "up0", "mtu", uplink)
        host.outside.ip_batch(f"link set wan0 mtu {uplink}", "link set wan1 mtu 9000",
                              f"route add {family.beyond} dev wan1 mtu {router}")
        far.ip("link", "set", "far0", "mtu", "9000")
        if route:
            host.ip_batch(f"route add {family.beyond} via {family.via} dev up0 mtu {route}")
        return host.add("m", "--mtu", endpoint), wanted

    @pytest.mark.parametrize("path", PATHS)
    def test_pitfall_cilium_12968_41478_moby_22297_20178_bulk_tcp(self, host, far, path, family):
        """No black hole: every byte of bulk transfers arrives, and the endpoint knows what the path takes."""
        m, wanted = self.build(host, family, far, path)
        errors = m.agent(Tool, "errors", family.any)
        bulk(m, far, family.beyond, 2 * MEBIBYTE)
        assert learned(m, family.beyond) == wanted
        if wanted:
            errors.wait(lambda line: line.get("mtu") == wanted)
        told = errors.lines[1:]
        assert bool(told) == bool(wanted)
        if told:
            assert {(line["type"], line["code"], line["right"]) for line in told} == {(*family.TOO_BIG, True)}
            assert {line["from"] for line in told} <= {m.gateway_of(family), family.outside}

    @pytest.mark.parametrize("path", ["route", "locked route", "router", "jumbo, locked route, then router"])
    def test_pitfall_cilium_47755_bulk_tcp_of_an_exposed_server(self, host, far, path, family):
        m, wanted = self.build(host, family, far, path)
        host.nsbpf("expose", m.name, "5000:80")
        bulk(far, m, family.host, 2 * MEBIBYTE, port=80, asked=5000)
        assert learned(m, family.beyond) == wanted

    @pytest.mark.parametrize("path", ["route", "locked route", "router", "jumbo endpoint, uplink"])
    def test_udp_with_df(self, host, far, path, family):
        """The error that its socket gets has the MTU, and names whoever could not send it on."""
        m, wanted = self.build(host, family, far, path)
        tool = m.agent(Tool, "oversize", family.beyond, "9", str(PATHS[path][-1] - family.header_size - 7))
        if wanted:
            who, what = family.outside if path == "router" else m.gateway_of(family), family.TOO_BIG
        else:  # it gets there, and nobody listens
            who, what = family.beyond, family.PORT_UNREACHABLE
        assert tool.first == {"from": who, "type": what[0], "code": what[1], "mtu": wanted or 0}

    def test_route_that_gets_smaller(self, host, a, far, family):
        """Under a connection that is busy."""
        with far.tcp_echo(address=family.any) as server:
            session = a.tcp_session(family.beyond, server.port)
            assert session.ask("x" * 5000)["data"] == "x" * 5000
            host.ip("route", "add", family.beyond, "via", family.via, "dev", "up0", "mtu", "lock", "1300")
            wait_for(lambda: session.ask("y" * 5000)["data"] == "y" * 5000 and learned(a, family.beyond) == 1300, 10)
