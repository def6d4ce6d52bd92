# SPDX-License-Identifier: GPL-2.0-only
"""Networks of `--mode routed`: an endpoint's own address is seen outside, and is reached from there.

    r 10.90.0.2, 2001:db8:90::2 ---- host ---- up0 ---- outside, which has routes to 10.90.0.0/24 and 2001:db8:90::/64
    a 10.80.0.2, ULA::2 ------------
"""
import pytest
from families import Family4, Family6
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig, IPv6ExtHdrDestOpt, PadN
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from tools import Tool, learned, traceroute
from topology import wait_for
from wire import GATEWAY_MAC, bulk, check_every_path, datagrams, echo, mirror, question, wrong_checksums

pytestmark = pytest.mark.attach


def routed_network(host, name="open", number=0):
    """With a subnet of either family, known outside."""
    host.nsbpf("network", "add", name, "--mode", "routed", "--subnet", Family4.subnets[number],
               "--subnet6", Family6.subnets[number])
    for family in (Family4, Family6):
        host.outside.ip("route", "add", family.subnets[number], "via", family.host)


@pytest.fixture
def r(host):
    routed_network(host)
    return host.add("r", "--network", "open")


@pytest.fixture
def a(host, r):
    return host.add("a")


def connections(host):
    return host.json()["connections"]["count"]


@pytest.mark.parametrize("proto", ["tcp", "udp"])
def test_both_ways_by_its_own_address(host, r, proto, family):
    before = connections(host)
    with echo(host.outside, proto, address=family.any) as server:
        for address in (family.outside, family.far):
            seen = question(r, proto, address, server.port, source_port=7000)
            assert (seen["peer"], seen["port"]) == (r.address_of(family), 7000)
    with echo(r, proto, 80, family.any):
        for source in (family.outside, family.far):
            seen = question(host.outside, proto, r.address_of(family), 80, source=source, source_port=7000)
            assert (seen["peer"], seen["port"], seen["local"]) == (source, 7000, r.address_of(family))
    assert connections(host) == before


def test_ping_both_ways_on_the_wire(host, r, family):
    wan, inside = host.outside.capture("wan0"), r.capture("eth0")
    assert r.ping(family.far).returncode == 0 and host.outside.ping(r.address_of(family)).returncode == 0
    asked = [wan.expect(family.is_request, count=2)[0], inside.expect(family.is_request, count=2)[1]]
    assert [(*family.ends(p), family.hops(p)) for p in asked] == [
        (r.address_of(family), family.far, 63), (family.outside, r.address_of(family), 63)]
    assert (asked[0][Ether].src, asked[0][Ether].dst) == (host.link("up0")["address"],
                                                          host.outside.link("wan0")["address"])
    assert (asked[1][Ether].src, asked[1][Ether].dst) == (GATEWAY_MAC, r.info["mac"])
    assert not [wrong_checksums(p) for p in asked if wrong_checksums(p)]


def test_any_protocol_and_every_byte(host, r, family):
    """GRE, SCTP, what nobody knows; what belongs to no connection; and of IPv6 a destination option."""
    wan, inside = host.outside.capture("wan0"), r.capture("eth0")
    ways = {wan: (r, "eth0", Ether(src=r.info["mac"], dst=GATEWAY_MAC), r.address_of(family), family.far),
            inside: (host.outside, "wan0", Ether(src=host.outside.link("wan0")["address"],
                                                 dst=host.link("up0")["address"]), family.far, r.address_of(family))}
    for capture, (netns, device, ether, src, dst) in ways.items():
        packets = [family.ip(src, dst, **{family.protocol: number}) / Raw(b"payload of a protocol")
                   for number in (4, 47, 50, 132, 200)]
        packets += [family.ip(src, dst) / TCP(sport=9, dport=9, flags=flags) / Raw(b"x") for flags in ("A", "R", "SA")]
        packets += [family.ip(src, dst) / UDP(sport=9, dport=9) / Raw(b"y"), family.ip(src, dst) / family.reply(id=3)]
        if family.number == 6:
            packets.append(family.ip(src, dst) / IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(4))]) /
                           UDP(sport=9, dport=9) / Raw(b"z"))
        netns.send(device, *[ether / packet for packet in packets])
        wanted = set()  # the other stack has answers of its own to these
        for packet in packets:
            forwarded = family.ip(src, dst, hops=63) / packet.payload
            setattr(forwarded, family.protocol, getattr(family.IP(bytes(packet)), family.protocol))
            wanted.add(bytes(forwarded))
        wait_for(lambda: not wanted - {p.frame[14:] for p in capture.packets}, what=(wanted, capture.packets))


def test_traceroute_shows_the_host(host, r, family):
    for netns in (host, host.outside):
        netns.sysctl(family.icmp_ratelimit, "0")
    address, gateway = r.address_of(family), r.gateway_of(family)
    for proto in ("udp", "tcp", "ping"):
        end = {"udp": (family.far, *family.PORT_UNREACHABLE), "tcp": "ECONNREFUSED", "ping": True}[proto]
        assert traceroute(r, proto, family.far, 33434) == [(gateway, *family.TIME_EXCEEDED), end]
        first, last = traceroute(host.outside, proto, address, 33434)
        assert first in [(who, *family.TIME_EXCEEDED) for who in (gateway, family.host)]
        assert last == {"udp": (address, *family.PORT_UNREACHABLE), "tcp": "ECONNREFUSED", "ping": True}[proto]


def test_bulk_and_large_datagrams(host, r, family):
    bulk(r, host.outside, family.far)
    bulk(host.outside, r, r.address_of(family))
    sizes = (1, 1500 - family.header_size - 8, 4096, 60000, family.largest_datagram)
    with mirror(host.outside, "udp", address=family.any) as server:
        datagrams(r, family.far, server.port, *sizes)
    with mirror(r, "udp", address=family.any) as server:
        datagrams(host.outside, r.address_of(family), server.port, *sizes)


@pytest.mark.parametrize("larger", ["endpoint", "outside"])
def test_path_mtu(host, larger, family):
    """Packet too big from the host, whoever it is who sends too much; and GSO packets, which are more than one."""
    routed_network(host)
    if larger == "outside":
        for netns, device in ((host, "up0"), (host.outside, "wan0")):
            netns.ip("link", "set", device, "mtu", "9000")
    r = host.add("r", "--network", "open", "--mtu", "9000" if larger == "endpoint" else "1400")
    sender, receiver, address, mtu = ((r, host.outside, family.far, 1500) if larger == "endpoint" else
                                      (host.outside, r, r.address_of(family), 1400))
    assert sender.run("ping", "-n", "-c2", "-i0.2", "-W1", "-Mdo", "-s", "2000", address, check=False).returncode
    assert learned(sender, address) == mtu
    tool = sender.agent(Tool, "oversize", address, "9", "2000")
    assert (tool.first["type"], tool.first["code"], tool.first["mtu"]) == (*family.TOO_BIG, mtu)
    bulk(sender, receiver, address, 2 << 20)


def test_errors_from_beyond_reach_the_endpoint(host, r, family):
    """A router outside that cannot send a packet on says so to the endpoint itself."""
    inside = r.capture("eth0")
    sent = family.ip(r.address_of(family), family.far) / UDP(sport=7000, dport=9) / Raw(b"x")
    error = ICMPv6PacketTooBig(mtu=1300) if family.number == 6 else ICMP(type=3, code=4, nexthopmtu=1300)
    packet = family.ip(family.outside, r.address_of(family)) / error / family.IP(bytes(sent))
    host.outside.send("wan0", Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"]) / packet)
    arrived, = inside.expect(family.error)
    assert family.ends(arrived) == (family.outside, r.address_of(family)) and not wrong_checksums(arrived)
    assert bytes(family.error_layer(arrived).payload) == bytes(sent)


def test_every_other_path(host, r, a, family):
    """The host, the neighbours, and what is masqueraded beside it."""
    other = host.add("s", "--network", "open")
    for proto in ("tcp", "udp"):
        with echo(other, proto, address=family.any) as server:
            assert question(r, proto, other.address_of(family), server.port)["peer"] == r.address_of(family)
            assert question(host, proto, other.address_of(family), server.port)["peer"] == r.gateway_of(family)
        with echo(host, proto, address=family.any) as server:
            for address in (family.host, r.gateway_of(family)):
                assert question(r, proto, address, server.port)["peer"] == r.address_of(family)
        with echo(host.outside, proto, address=family.any) as server:
            assert question(a, proto, family.far, server.port)["peer"] == family.host
        with echo(r, proto, address=family.any) as server:  # isolated from a's network
            assert "error" in getattr(a, proto)(r.address_of(family), server.port, timeout=0.5)
    check_every_path(host, a, host.add("b"), family)


def test_exposed_ports_and_hairpin(host, r, a, family):
    host.nsbpf("expose", r.name, "5000:80/both")
    for proto in ("tcp", "udp"):
        with echo(r, proto, 80, family.any):
            seen = question(host.outside, proto, family.host, 5000)
            assert (seen["peer"], seen["local"]) == (family.outside, r.address_of(family))
            for client in (a, r):
                seen = question(client, proto, family.host, 5000)
                assert (seen["peer"], seen["local"]) == (family.host, r.address_of(family))
            assert question(host, proto, family.loopback, 5000)["local"] == r.address_of(family)
            # It is asked at its own address beside that.
            assert question(host.outside, proto, r.address_of(family), 80)["local"] == r.address_of(family)


def test_nobody_lies(host, r, a, family):
    """Neither the endpoint about its address, nor the outside with an address of the inside or of the host."""
    other = host.add("s", "--network", "open")
    wan, inside = host.outside.capture("wan0"), r.capture("eth0")
    before = host.json()["drops"]["spoofed-ip"]
    sources = [other.address_of(family), a.address_of(family), family.outside, r.gateway_of(family)]
    r.send("eth0", *[Ether(src=r.info["mac"], dst=GATEWAY_MAC) / family.ip(source, family.far) /
                     UDP(sport=9, dport=9) / Raw(b"lie") for source in sources])
    ether = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
    host.outside.send("wan0", *[ether / family.ip(source, r.address_of(family)) / UDP(sport=9, dport=9) / Raw(b"lie")
                                for source in (other.address_of(family), a.address_of(family), family.loopback,
                                               r.gateway_of(family), family.host, r.address_of(family))])
    assert r.ping(family.far).returncode == 0 and host.outside.ping(r.address_of(family)).returncode == 0
    inside.expect(family.is_request, count=2)
    assert not [p for p in wan.packets + inside.packets if p.pkttype != p.OUTGOING and p.frame.endswith(b"lie")
                and p[Ether].src in (GATEWAY_MAC, host.link("up0")["address"])]
    assert host.json()["drops"]["spoofed-ip"] >= before + len(sources)


def test_a_masqueraded_network_is_not_reached_by_its_addresses(host, r, a, family):
    """That another network is routed opens nothing."""
    host.outside.ip("route", "add", a.address_of(family), "via", family.host)
    inside = a.capture("eth0")
    with a.tcp_echo(80, family.any), a.udp_echo(80, family.any):
        assert "error" in host.outside.tcp(a.address_of(family), 80, timeout=0.5)
        assert "error" in host.outside.udp(a.address_of(family), 80, timeout=0.5)
    assert host.outside.ping(a.address_of(family), timeout=1).returncode
    assert host.ping(a.address_of(family)).returncode == 0
    inside.expect(family.is_request)
    assert not inside.matching(lambda p: family.IP in p and family.outside in family.ends(p))


@pytest.mark.parametrize("given", [Family4, Family6], ids=["ip4 given", "ip6 given"])
def test_only_the_subnet_that_was_given_is_routed(host, given, family):
    """The other one nsbpf has chosen itself: nobody outside has a route to it."""
    host.nsbpf("network", "add", "open", "--mode", "routed", given.subnet_option, given.subnets[0])
    host.outside.ip("route", "add", given.subnets[0], "via", given.host)
    r = host.add("r", "--network", "open")
    for proto in ("tcp", "udp"):
        with echo(host.outside, proto, address=family.any) as server:
            seen = question(r, proto, family.far, server.port)
            assert seen["peer"] == (r.address_of(family) if given is family else family.host)


def test_masquerade_off(host, family):
    """Whoever says so gets neither subnet masqueraded, whoever has chosen it."""
    host.nsbpf("network", "add", "open", "--mode", "routed", "--masquerade", "off")
    r = host.add("r", "--network", "open")
    host.outside.ip("route", "add", r.address_of(family), "via", family.host)
    for proto in ("tcp", "udp"):
        with echo(host.outside, proto, address=family.any) as server:
            assert question(r, proto, family.far, server.port)["peer"] == r.address_of(family)
        with echo(r, proto, address=family.any) as server:
            assert question(host.outside, proto, r.address_of(family), server.port)["peer"] == family.outside
