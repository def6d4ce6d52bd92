# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors between real stacks: traceroute, path MTU discovery, ports where nobody listens.

     namespace a            host              outside               far
    10.80.0.2 ---- 10.80.0.1, 198.51.100.1 ---- 198.51.100.2, 192.0.2.1 ---- 192.0.2.2
"""
import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Tool, learned, traceroute
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR, wait_for
from wire import bulk, echo, question, wrong_checksums

FAR = "192.0.2.2"
MEBIBYTE = 1 << 20


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


@pytest.fixture
def far(host):
    """One more hop behind the outside machine, which is a router now."""
    far = host.machine("f")
    host.connect(host.outside, "wan1", far, "far0")
    host.outside.ip("address", "add", "192.0.2.1/24", "dev", "wan1")
    far.ip_batch(f"address add {FAR}/24 dev far0", "route add default via 192.0.2.1")
    host.outside.sysctl("net.ipv4.ip_forward", "1")
    for netns in (host.outside, far):
        netns.sysctl("net.ipv4.icmp_ratelimit", "0")
    return far


@pytest.mark.attach
class TestTraceroute:
    """Every hop once, in both directions."""

    @pytest.mark.parametrize("proto, end", [("udp", (FAR, 3, 3)), ("tcp", "ECONNREFUSED"), ("ping", True)])
    def test_pitfall_cilium_27616_to_the_outside(self, host, a, far, proto, end):
        inside, wan = a.capture("eth0"), host.outside.capture("wan0")
        hops = traceroute(a, proto, FAR, 33434)
        assert hops == [(a.info["gateway"], 11, 0), (OUTSIDE_ADDRESS, 11, 0), end]
        count = len([hop for hop in hops if isinstance(hop, tuple)])
        errors = inside.expect(lambda p: ICMP in p and p[ICMP].type in (3, 11), count=count)
        assert len(errors) == count
        assert not [wrong_checksums(p) for p in errors if wrong_checksums(p)]
        # What the first hop answered did not go on.
        probes = wan.expect(lambda p: IP in p and p[IP].dst == FAR, count=2)
        assert {p[IP].ttl for p in probes[:2]} == {1, 2}
        assert not wan.matching(lambda p: IP in p and p[IP].src.startswith("10.80."))

    @pytest.mark.parametrize("proto, end", [("udp", (HOST_ADDRESS, 3, 3)), ("tcp", "ECONNREFUSED")])
    @pytest.mark.parametrize("listening", [False, True])
    def test_from_outside_to_an_exposed_port(self, host, a, far, proto, end, listening):
        host.nsbpf("expose", a.name, f"5000:80/{proto}")
        server = echo(a, proto, 80) if listening else None
        hops = traceroute(far, proto, HOST_ADDRESS, 5000)
        assert hops == [("192.0.2.1", 11, 0), (HOST_ADDRESS, 11, 0), True if server else end]

    @pytest.mark.parametrize("proto", ["udp", "tcp"])
    def test_checksums_that_the_uplink_completes(self, host, a, far, proto):
        """The probes come by veth, their checksums still to be filled in (CHECKSUM_PARTIAL): not so the error's."""
        host.nsbpf("expose", a.name, f"5000/{proto}")
        host.run("ethtool", "-K", "up0", "tx", "off")
        errors = far.agent(Tool, "errors")
        hops = traceroute(far, proto, HOST_ADDRESS, 5000)
        assert hops[:2] == [("192.0.2.1", 11, 0), (HOST_ADDRESS, 11, 0)]
        assert all(line["right"] for line in errors.wait(lambda line: "type" in line, count=2))

    @pytest.mark.parametrize("proto", ["udp", "tcp"])
    def test_hairpin(self, host, a, b, proto):
        host.nsbpf("expose", a.name, f"5000:80/{proto}")
        end = (HOST_ADDRESS, 3, 3) if proto == "udp" else "ECONNREFUSED"
        for client in (a, b):
            assert traceroute(client, proto, HOST_ADDRESS, 5000) == [(client.info["gateway"], 11, 0), end]

    def test_between_networks(self, host, a):
        host.nsbpf("network", "add", "red", "--subnet", "10.90.0.0/24", "--isolate", "off")
        host.nsbpf("network", "set", "default", "--isolate", "off")
        c = host.add("c", "--network", "red")
        for source, target in ((a, c), (c, a)):
            assert traceroute(source, "udp", target.address, 9) == [(source.info["gateway"], 11, 0),
                                                                   (target.address, 3, 3)]


@pytest.mark.attach
class TestNobodyListens:
    def test_udp(self, host, a, b):
        """The port-unreachable reaches the socket that sent the datagram, whichever way it took."""
        host.nsbpf("expose", a.name, "5000:80/udp")
        for client, address, port in ((a, OUTSIDE_ADDRESS, 9), (a, OUTSIDE_FAR, 9), (host.outside, HOST_ADDRESS, 5000),
                                      (b, HOST_ADDRESS, 5000), (a, HOST_ADDRESS, 5000), (host, HOST_ADDRESS, 5000),
                                      (host, "127.0.0.1", 5000), (b, a.address, 9), (a, HOST_ADDRESS, 9)):
            assert client.udp(address, port, connect=True)["error"] == "ECONNREFUSED", (client.name, address)

    def test_tcp(self, host, a, b):
        host.nsbpf("expose", a.name, "5000:80")
        for client, address, port in ((a, OUTSIDE_ADDRESS, 9), (a, OUTSIDE_FAR, 9), (host.outside, HOST_ADDRESS, 5000),
                                      (b, HOST_ADDRESS, 5000), (a, HOST_ADDRESS, 5000), (host, HOST_ADDRESS, 5000),
                                      (host, "127.0.0.1", 5000), (b, a.address, 9), (a, HOST_ADDRESS, 9)):
            assert client.tcp(address, port)["error"] == "ECONNREFUSED", (client.name, address)

    def test_an_answer_that_comes_too_late(self, host, a):
        """The endpoint's own error, about what came back through masquerade, is the host's on the wire."""
        with host.outside.udp_echo() as server:
            seen = question(a, "udp", OUTSIDE_FAR, server.port)
        wan = host.outside.capture("wan0")
        late = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"]) / \
            IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS, id=77) / UDP(sport=server.port, dport=seen["port"]) / Raw(b"late")
        host.outside.send("wan0", late)
        error, = wan.expect(lambda p: ICMP in p and p[ICMP].type == 3)
        assert (error[IP].src, error[IP].dst, error[ICMP].code) == (HOST_ADDRESS, OUTSIDE_FAR, 3)
        quoted = late[IP].copy()
        quoted.ttl -= 1
        del quoted.chksum
        assert bytes(error[ICMP].payload) == bytes(quoted)
        assert not wrong_checksums(error)

    def test_what_routes_say(self, host, a):
        """At once, instead of a time-out."""
        host.ip_batch("route add unreachable 192.0.2.16/28", "route add prohibit 192.0.2.32/28",
                      "route add blackhole 192.0.2.48/28")
        for address, error in (("192.0.2.17", "EHOSTUNREACH"), ("192.0.2.33", "EHOSTUNREACH"),
                               ("192.0.2.49", "timeout")):
            assert a.tcp(address, 80, timeout=1.0)["error"] == error, address
        host.ip("route", "del", "default")
        assert a.tcp(OUTSIDE_FAR, 80)["error"] == "ENETUNREACH"


# MTU of: the endpoint, the uplink, the host's route to FAR, the link behind the router; and what the endpoint learns.
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


class TestPathMtu:
    def build(self, host, far, endpoint, uplink, route, router):
        # The router's MTU is one of its route: FAR's own segment size must tell nothing about the way.
        host.ip("link", "set", "up0", "mtu", uplink)
        host.outside.ip_batch(f"link set wan0 mtu {uplink}", "link set wan1 mtu 9000",
                              f"route add {FAR} dev wan1 mtu {router}")
        far.ip("link", "set", "far0", "mtu", "9000")
        if route:
            host.ip_batch(f"route add {FAR} via {OUTSIDE_ADDRESS} mtu {route}")
        return host.add("m", "--mtu", endpoint)

    @pytest.mark.parametrize("path", PATHS)
    def test_pitfall_cilium_12968_41478_moby_22297_20178_bulk_tcp(self, host, far, path):
        """No black hole: every byte of bulk transfers arrives, and the endpoint knows what the path takes."""
        *mtus, wanted = PATHS[path]
        m = self.build(host, far, *mtus)
        errors = m.agent(Tool, "errors")
        bulk(m, far, FAR, 2 * MEBIBYTE)
        assert learned(m, FAR) == wanted
        if wanted:
            errors.wait(lambda line: line.get("mtu") == wanted)
        told = errors.lines[1:]
        assert bool(told) == bool(wanted)
        if told:
            assert {(line["type"], line["code"], line["right"]) for line in told} == {(3, 4, True)}
            assert {line["from"] for line in told} <= {m.info["gateway"], OUTSIDE_ADDRESS}

    @pytest.mark.parametrize("path", ["route", "locked route", "router", "jumbo, locked route, then router"])
    def test_pitfall_cilium_47755_bulk_tcp_of_an_exposed_server(self, host, far, path):
        *mtus, wanted = PATHS[path]
        m = self.build(host, far, *mtus)
        host.nsbpf("expose", m.name, "5000:80")
        bulk(far, m, HOST_ADDRESS, 2 * MEBIBYTE, port=80, asked=5000)
        assert learned(m, FAR) == wanted

    @pytest.mark.parametrize("path", ["route", "locked route", "router", "jumbo endpoint, uplink"])
    def test_udp_with_df(self, host, far, path):
        """The error that its socket gets has the MTU, and names whoever could not send it on."""
        *mtus, wanted = PATHS[path]
        m = self.build(host, far, *mtus)
        tool = m.agent(Tool, "oversize", FAR, "9", str(wanted - 27))
        reporter = OUTSIDE_ADDRESS if path == "router" else m.info["gateway"]
        assert tool.first == {"from": reporter, "type": 3, "code": 4, "mtu": wanted}

    def test_route_that_gets_smaller(self, host, a, far):
        """Under a connection that is busy."""
        with far.tcp_echo() as server:
            session = a.tcp_session(FAR, server.port)
            assert session.ask("x" * 5000)["data"] == "x" * 5000
            host.ip("route", "add", FAR, "via", OUTSIDE_ADDRESS, "mtu", "lock", "1300")
            wait_for(lambda: session.ask("y" * 5000)["data"] == "y" * 5000 and learned(a, FAR) == 1300, 10)
