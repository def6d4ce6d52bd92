# SPDX-License-Identifier: GPL-2.0-only
"""What the host's forwarding does besides forwarding, and nsbpf, which goes past it, has to do as well.

    endpoints ---- host ---- up0 ---- outside
                        ---- up1 ---- other 192.0.2.2, 203.0.113.77
"""
from collections import namedtuple

import pytest
from scapy.layers.inet import ICMP, UDP
from scapy.layers.inet6 import ICMPv6DestUnreach
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Tool, learned, traceroute
from wire import question

pytestmark = pytest.mark.attach

Names = namedtuple("Names", "host machine far stranger forbidden port_unreachable")
NAMES = {4: Names("192.0.2.1", "192.0.2.2", "203.0.113.77", "192.0.2.77", "203.0.113.99", ICMP(type=3, code=3)),
         6: Names("2001:db8:2::1", "2001:db8:2::2", "2001:db8:3::77", "2001:db8:2::77", "2001:db8:cafe::99",
                  ICMPv6DestUnreach(code=4))}


@pytest.fixture
def names(family):
    return NAMES[family.number]


@pytest.fixture
def other(host, a, family, names):
    """Behind a second uplink."""
    other = host.machine("p")
    host.connect(host, "up1", other, "wan0")
    host.add_address(f"{names.host}/{family.link_length}", "up1")
    host.ip("route", "add", names.far, "via", names.machine)
    other.add_address(f"{names.machine}/{family.link_length}", "wan0")
    other.add_address(f"{names.far}/{family.length}", "lo")
    other.ip("route", "add", "default", "via", names.host)
    host.nsbpf("uplink", "add", "up1")
    host.sysctl("net.ipv4.conf.all.rp_filter", "0")
    return other


def test_pitfall_cilium_39121_an_error_by_another_uplink(host, a, other, family, names):
    """Routers answer by their own routes: what is wrong with a packet sent by one uplink is told by the other one."""
    host.outside.ip("address", "del", f"{family.far}/{family.length}", "dev", "lo")
    host.outside.ip("route", "add", "blackhole", family.far)
    wan = host.outside.capture("wan0")
    session = a.udp_session(family.far, 53, source_port=5353, connect=True, timeout=3.0)
    session.process.stdin.write("question\n")
    session.process.stdin.flush()
    sent, = wan.expect(lambda p: UDP in p and p[UDP].dport == 53)
    other.send("wan0", Ether(src=other.link("wan0")["address"], dst=host.link("up1")["address"]) /
               family.ip(names.stranger, family.host) / names.port_unreachable / Raw(bytes(sent[family.IP])))
    assert session.next() == {"error": "ECONNREFUSED"}


def test_pitfall_cilium_39121_a_client_behind_another_uplink(host, a, other, family, names):
    """Its packet came by the one, the host's route to it is by the other: that is where the error goes."""
    host.nsbpf("expose", a.name, "5000/udp")
    errors = other.agent(Tool, "errors", family.any)
    host.outside.send("wan0", Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"]) /
                      family.ip(names.far, family.host, hops=1) / UDP(sport=9, dport=5000))
    number, code = family.TIME_EXCEEDED
    assert errors.next() == {"from": family.host, "type": number, "code": code, "mtu": 0, "right": True}


def test_pitfall_cilium_24252_policy_routing(host, a, b, other, family, names):
    """A rule about one endpoint: its hops, its path's MTU, and what it may not reach."""
    host.outside.sysctl(f"{family.conf}.conf.all.forwarding", "1")
    mtu = ["mtu", "1400"] if family.number == 4 else ["mtu", "lock", "1400"]  # IPv6 forwards by a locked one only
    host.ip("route", "add", "default", "via", names.machine, *mtu, "table", "100")
    host.ip("route", "add", "prohibit", names.forbidden, "table", "100")
    host.ip(f"-{family.number}", "rule", "add", "from", b.address_of(family), "lookup", "100")
    other.add_address(f"{family.far}/{family.length}", "lo")
    for endpoint, address in ((a, family.host), (b, names.host)):
        hops = [(endpoint.gateway_of(family), *family.TIME_EXCEEDED), (family.far, *family.PORT_UNREACHABLE)]
        assert traceroute(endpoint, "udp", family.far, 9) == hops
        server = host.outside if endpoint is a else other
        with server.udp_echo(address=family.any) as echo:
            assert question(endpoint, "udp", family.far, echo.port)["peer"] == address
    oversize = {endpoint: endpoint.agent(Tool, "oversize", family.far, "9", "1400").first for endpoint in (a, b)}
    assert (oversize[a]["type"], oversize[a]["code"]) == family.PORT_UNREACHABLE
    assert (oversize[b]["type"], oversize[b]["code"], oversize[b]["mtu"]) == (*family.TOO_BIG, 1400)
    assert learned(a, family.far) is None and learned(b, family.far) == 1400
    assert b.tcp(names.forbidden, 80)["error"] == family.prohibited_error
    assert a.tcp(names.forbidden, 80)["error"] == "ENETUNREACH"  # says the outside machine
