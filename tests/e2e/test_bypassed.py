# SPDX-License-Identifier: GPL-2.0-only
"""What the host's forwarding does besides forwarding, and nsbpf, which goes past it, has to do as well.

    endpoints ---- host ---- up0 ---- outside
                        ---- up1 ---- other 192.0.2.2, 203.0.113.77
"""
import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Tool, learned, traceroute
from topology import HOST_ADDRESS, OUTSIDE_FAR
from wire import question

pytestmark = pytest.mark.attach

OTHER, OTHER_FAR = "192.0.2.2", "203.0.113.77"


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


@pytest.fixture
def other(host, a):
    """Behind a second uplink."""
    other = host.machine("p")
    host.connect(host, "up1", other, "wan0")
    host.ip_batch("address add 192.0.2.1/24 dev up1", f"route add {OTHER_FAR} via {OTHER}")
    other.ip_batch(f"address add {OTHER}/24 dev wan0", f"address add {OTHER_FAR}/32 dev lo",
                   "route add default via 192.0.2.1")
    host.nsbpf("uplink", "add", "up1")
    host.sysctl("net.ipv4.conf.all.rp_filter", "0")
    return other


def test_pitfall_cilium_39121_an_error_by_another_uplink(host, a, other):
    """Routers answer by their own routes: what is wrong with a packet sent by one uplink is told by the other one."""
    host.outside.ip_batch(f"address del {OUTSIDE_FAR}/32 dev lo", f"route add blackhole {OUTSIDE_FAR}")
    wan = host.outside.capture("wan0")
    session = a.udp_session(OUTSIDE_FAR, 53, source_port=5353, connect=True, timeout=3.0)
    session.process.stdin.write("question\n")
    session.process.stdin.flush()
    sent, = wan.expect(lambda p: UDP in p and p[UDP].dport == 53)
    other.send("wan0", Ether(src=other.link("wan0")["address"], dst=host.link("up1")["address"]) /
               IP(src="192.0.2.77", dst=HOST_ADDRESS) / ICMP(type=3, code=3) / Raw(bytes(sent[IP])))
    assert session.next() == {"error": "ECONNREFUSED"}


def test_pitfall_cilium_39121_a_client_behind_another_uplink(host, a, other):
    """Its packet came by the one, the host's route to it is by the other: that is where the error goes."""
    host.nsbpf("expose", a.name, "5000/udp")
    errors = other.agent(Tool, "errors")
    host.outside.send("wan0", Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"]) /
                      IP(src=OTHER_FAR, dst=HOST_ADDRESS, ttl=1) / UDP(sport=9, dport=5000))
    assert errors.next() == {"from": HOST_ADDRESS, "type": 11, "code": 0, "mtu": 0, "right": True}


def test_pitfall_cilium_24252_policy_routing(host, a, b, other):
    """A rule about one endpoint: its hops, its path's MTU, and what it may not reach."""
    host.outside.sysctl("net.ipv4.ip_forward", "1")
    host.ip_batch(f"route add default via {OTHER} mtu 1400 table 100", "route add prohibit 203.0.113.99 table 100",
                  f"rule add from {b.address} lookup 100")
    other.ip("address", "add", OUTSIDE_FAR + "/32", "dev", "lo")
    for endpoint, address in ((a, HOST_ADDRESS), (b, "192.0.2.1")):
        assert traceroute(endpoint, "udp", OUTSIDE_FAR, 9) == [(endpoint.info["gateway"], 11, 0), (OUTSIDE_FAR, 3, 3)]
        server = host.outside if endpoint is a else other
        with server.udp_echo() as echo:
            assert question(endpoint, "udp", OUTSIDE_FAR, echo.port)["peer"] == address
    oversize = {endpoint: endpoint.agent(Tool, "oversize", OUTSIDE_FAR, "9", "1400").first for endpoint in (a, b)}
    assert (oversize[a]["code"], oversize[b]["code"], oversize[b]["mtu"]) == (3, 4, 1400)
    assert learned(a, OUTSIDE_FAR) is None and learned(b, OUTSIDE_FAR) == 1400
    assert b.tcp("203.0.113.99", 80)["error"] == "EHOSTUNREACH"
    assert a.tcp("203.0.113.99", 80)["error"] == "ENETUNREACH"  # says the outside machine
