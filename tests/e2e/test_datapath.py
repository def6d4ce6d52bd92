# SPDX-License-Identifier: GPL-2.0-only
"""Every path of a packet: that it arrives, whom the other side sees, and what it looked like on the wire."""
import pytest
from families import Family6
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, ICMPv6ND_NS
from scapy.layers.l2 import ARP, Ether
from wire import GATEWAY_MAC, NAT_PORTS, check_every_path, echo, question, wrong_checksums

pytestmark = pytest.mark.attach


def test_every_path(host, a, b, family):
    check_every_path(host, a, b, family)
    assert host.json()["host"]["attach"] == host.attach


def test_every_address_of_the_host(host, a, family):
    host.ip_batch("link add other0 type veth peer name other1", "link set other1 up", "link set other0 up")
    host.add_address(f"{family.second}/{family.length}", "up0")
    host.add_address(f"{family.lan_host}/{family.link_length}", "other0")
    host.add_address(f"{family.third}/{family.length}", "lo")
    for proto in ("tcp", "udp"):
        for address in (family.host, family.second, family.lan_host, family.third, a.gateway_of(family)):
            with echo(host, proto, address=address) as server:
                seen = question(a, proto, address, server.port)
                assert (seen["peer"], seen["local"]) == (a.address_of(family), address)
            with echo(a, proto, address=family.any) as server:
                assert question(host, proto, a.address_of(family), server.port, source=address)["peer"] == address
    assert a.ping(family.lan_host).returncode == 0


ROUTERS = {
    "iptables FORWARD DROP": ["iptables -P FORWARD DROP", "iptables -A FORWARD -j DROP",
                              "ip6tables -P FORWARD DROP", "ip6tables -A FORWARD -j DROP"],
    "legacy FORWARD DROP": ["iptables-legacy -P FORWARD DROP", "iptables-legacy -A FORWARD -j DROP",
                            "ip6tables-legacy -P FORWARD DROP", "ip6tables-legacy -A FORWARD -j DROP"],
    "nft forward drop": ["nft add table inet t",
                         "nft add chain inet t f '{ type filter hook forward priority 0 ; policy drop ; }'"],
    "ip_forward=1": ["sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1"],
    "ip_forward=1 and back": ["sysctl -q net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1",
                              "sysctl -q net.ipv4.ip_forward=0 net.ipv6.conf.all.forwarding=0"],
}


def rules(host):
    """Of both backends of iptables, and of nft."""
    return [host.run(*command.split()).stdout for command in (
        "nft list ruleset", "iptables-legacy -S", "iptables-legacy -t nat -S", "ip6tables-legacy -S",
        "ip6tables-legacy -t nat -S")]


def check_with_an_exposed_port(host, a, b, family):
    check_every_path(host, a, b, family)
    with b.tcp_echo(5000, family.any):
        assert host.outside.tcp(family.host, 5000)["peer"] == family.outside
        assert a.tcp(family.host, 5000)["peer"] == family.host
        assert host.tcp(family.loopback, 5000)["data"] == "hello"


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_pitfall_moby_39439_48365_kubernetes_71305_forward_drop(host, router, when, family):
    """Set before nsbpf attaches its first endpoint, or while it runs. nsbpf adds no rule, and needs none."""
    def configure():
        for command in ROUTERS[router]:
            host.run("sh", "-ec", command)
    if when == "before":
        configure()
    before = rules(host)
    a, b = host.add("a"), host.add("b")
    host.nsbpf("expose", b.name, "5000")
    assert rules(host) == before
    if when == "after":
        configure()
    check_with_an_exposed_port(host, a, b, family)


def test_pitfall_netavark_230_podman_8048_cni_512_firewall_reload(host, a, b, family):
    """Everything goes on: what is exposed, what comes new, and what is under way."""
    host.nsbpf("expose", b.name, "5000")
    with b.tcp_echo(5000, family.any), host.outside.tcp_echo(8080, family.any):
        sessions = [host.outside.tcp_session(family.host, 5000), a.tcp_session(family.far, 8080)]
        assert all(session.ask()["data"] == "hello" for session in sessions)
        for command in ("nft add table ip nat", "nft add table ip6 nat", "nft flush ruleset", "iptables-legacy -F",
                        "iptables-legacy -t nat -F", "ip6tables-legacy -F", "ip6tables-legacy -t nat -F"):
            host.run(*command.split())
        assert all(session.ask("still")["data"] == "still" for session in sessions)
    check_with_an_exposed_port(host, a, b, family)


def test_pitfall_netavark_962_podman_17432_strict_rp_filter(host, family):
    """With several networks, all of them served by one host. IPv6 has no rp_filter: firewalld has this rule instead."""
    for name in ("all", "default"):
        host.sysctl(f"net.ipv4.conf.{name}.rp_filter", "1")
    host.run("nft", "-f", "-", input="""
        table inet strict {
            chain prerouting {
                type filter hook prerouting priority raw
                icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept
                fib saddr . iif oif missing drop
            }
        }""")
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    for port, network in ((5000, "default"), (5001, "blue")):
        a, b = (host.add(f"{network}{number}", "--network", network) for number in range(2))
        host.nsbpf("expose", b.name, f"{port}")
        check_every_path(host, a, b, family)
    for port, name in ((5000, "default1"), (5001, "blue1")):
        with host.endpoint(name).tcp_echo(port, family.any):
            for client in (host.outside, host, *map(host.endpoint, ("default0", "blue0"))):
                assert question(client, "tcp", family.host, port)["local"] == host.endpoint(name).address_of(family)


# Where checksums are made: by the endpoint's stack, by the uplink's segmentation, or by nobody (CHECKSUM_PARTIAL).
@pytest.mark.parametrize("offload", ["endpoint off", "uplink off", "both off"])
@pytest.mark.parametrize("proto, layer", [("tcp", TCP), ("udp", UDP)])
def test_masqueraded_on_the_wire(host, a, proto, layer, offload, family):
    wan, inside = host.outside.capture("wan0"), a.capture("eth0")
    for netns, device in ((a, "eth0"), (host, "up0")):
        if offload in ("both off", ("endpoint" if netns is a else "uplink") + " off"):
            netns.run("ethtool", "-K", device, "tx", "off")
    if offload != "uplink off":
        host.outside.run("ethtool", "-K", "wan0", "tx", "off")
    with echo(host.outside, proto, address=family.any) as server:
        seen = question(a, proto, family.far, server.port, text="x" * 101)
    source_port = seen["client"]["local_port"]
    assert seen["port"] in NAT_PORTS

    out = wan.expect(lambda p: layer in p and p[layer].dport == server.port)
    for packet in out:
        assert (*family.ends(packet), packet[layer].sport) == (family.host, family.far, seen["port"])
        assert family.hops(packet) == 63
        assert packet[Ether].src == host.link("up0")["address"]
        assert not packet.partial and not wrong_checksums(packet)
    back = inside.expect(lambda p: layer in p and p[layer].sport == server.port)
    for packet in back:
        assert (*family.ends(packet), packet[layer].dport) == (family.far, a.address_of(family), source_port)
        assert family.hops(packet) == 63
        assert (packet[Ether].src, packet[Ether].dst) == (GATEWAY_MAC, a.info["mac"])
        assert packet.pkttype == packet.HOST
        assert packet.partial or not wrong_checksums(packet)
        assert offload == "uplink off" or not packet.partial
    assert not wan.matching(lambda p: family.IP in p and p[family.IP].src == a.address_of(family))


def test_ping_on_the_wire(host, a, family):
    wan, inside = host.outside.capture("wan0"), a.capture("eth0")
    done = a.ping(family.far, count=3)
    assert done.returncode == 0 and "ttl=63" in done.stdout
    asked = wan.expect(family.is_request, count=3)
    assert {(*family.ends(p), family.hops(p)) for p in asked} == {(family.host, family.far, 63)}
    assert len({family.echo(p).id for p in asked}) == 1
    answered = inside.expect(family.is_reply, count=3)
    assert {(*family.ends(p), family.hops(p)) for p in answered} == {(family.far, a.address_of(family), 63)}
    assert not [wrong_checksums(p) for p in asked + answered if wrong_checksums(p)]


def test_pitfall_redirect_peer_mac_of_the_endpoint(host, a, b, family):
    """Neighbours in one subnet: no router between them."""
    inside = b.capture("eth0")
    a.run("ethtool", "-K", "eth0", "tx", "off")
    with b.tcp_echo(address=family.any) as server:
        question(a, "tcp", b.address_of(family), server.port)
    for packet in inside.expect(lambda p: TCP in p and p[TCP].dport == server.port, count=3):
        assert (*family.ends(packet), family.hops(packet)) == (a.address_of(family), b.address_of(family), 64)
        assert (packet[Ether].src, packet[Ether].dst) == (GATEWAY_MAC, b.info["mac"])
        assert packet.pkttype == packet.HOST
        assert not packet.partial and not wrong_checksums(packet)


def test_host_and_endpoint_on_the_wire(host, a, family):
    inside = a.capture("eth0")
    with host.tcp_echo(address=family.any) as server:
        question(a, "tcp", family.host, server.port)
    for packet in inside.expect(lambda p: TCP in p and p[TCP].sport == server.port, count=2):
        assert (*family.ends(packet), family.hops(packet)) == (family.host, a.address_of(family), 64)


def test_exposed_on_the_wire(host, a, family):
    host.nsbpf("expose", a.name, "5000:80")
    inside, wan = a.capture("eth0"), host.outside.capture("wan0")
    for netns, device in ((a, "eth0"), (host.outside, "wan0")):
        netns.run("ethtool", "-K", device, "tx", "off")
    with a.tcp_echo(80, family.any):
        seen = question(host.outside, "tcp", family.host, 5000)
    client_port = seen["client"]["local_port"]
    assert (seen["peer"], seen["port"], seen["local"]) == (family.outside, client_port, a.address_of(family))
    for packet in inside.expect(lambda p: TCP in p and p[TCP].dport == 80, count=3):
        assert (*family.ends(packet), packet[TCP].sport) == (family.outside, a.address_of(family), client_port)
        assert family.hops(packet) == 63 and not wrong_checksums(packet)
        assert packet[Ether].dst == a.info["mac"] and packet.pkttype == packet.HOST
    for packet in wan.expect(lambda p: TCP in p and p[TCP].dport == client_port, count=2):
        assert (packet[family.IP].src, packet[TCP].sport, packet[family.IP].dst) == (family.host, 5000, family.outside)
        assert family.hops(packet) == 63 and not wrong_checksums(packet)


def test_hairpin_on_the_wire(host, a, b, family):
    host.nsbpf("expose", a.name, "5000:80")
    inside = a.capture("eth0")
    b.run("ethtool", "-K", "eth0", "tx", "off")
    with a.tcp_echo(80, family.any):
        seen = question(b, "tcp", family.host, 5000)
    assert seen["peer"] == family.host and seen["port"] in NAT_PORTS
    for packet in inside.expect(lambda p: TCP in p and p[TCP].dport == 80, count=3):
        assert (*family.ends(packet), packet[TCP].sport) == (family.host, a.address_of(family), seen["port"])
        assert family.hops(packet) == 63 and not wrong_checksums(packet)
        assert (packet[Ether].src, packet[Ether].dst) == (GATEWAY_MAC, a.info["mac"])
        assert packet.pkttype == packet.HOST


def test_pitfall_xdp_forward_ttl_ends_at_the_hop_that_drops(host, a, family):
    """TTL 1 goes no further than the host; TTL 2 reaches the outside machine."""
    before = host.json()["drops"]["ttl"]
    wan = host.outside.capture("wan0")
    assert a.run("ping", "-n", "-c", "1", "-W", "1", "-t", "1", family.far, check=False).returncode
    assert a.run("ping", "-n", "-c", "1", "-W", "2", "-t", "2", family.far).returncode == 0
    assert [family.hops(p) for p in wan.expect(family.is_request)] == [1]
    assert host.json()["drops"]["ttl"] == before + 1


def test_neighbours_inside_the_subnet(host, a, b, family):
    """ARP and neighbour discovery: answered by the datapath; host's stack and neighbour never see the question."""
    device, inside = host.capture(b.device), b.capture("eth0")
    assert a.ping(b.address_of(family)).returncode == 0
    assert a.ping(a.gateway_of(family)).returncode == 0
    neighbours = {entry["dst"]: entry["lladdr"] for entry in a.ip_json("neighbour") if "lladdr" in entry}
    assert neighbours[b.address_of(family)] == neighbours[a.gateway_of(family)] == GATEWAY_MAC
    inside.expect(family.is_request)
    seen = inside.packets + device.packets
    assert not [p for p in seen if ARP in p and p[ARP].op == 1 and p[ARP].psrc == a.address]
    assert not [p for p in seen if ICMPv6ND_NS in p and p[Family6.IP].src == a.address6]


@pytest.mark.families(6)
def test_neighbour_discovery_on_the_wire(host, a, b):
    """The answer to a question that the endpoint's own stack asked: whole, from whom was asked, to whom has asked."""
    wire = a.capture("eth0")
    for address in (b.address6, a.info["gateway6"]):
        assert a.ping(address).returncode == 0
        answer, = wire.expect(lambda p: ICMPv6ND_NA in p and p[ICMPv6ND_NA].tgt == address)
        assert (answer[Ether].src, answer[Ether].dst) == (GATEWAY_MAC, a.info["mac"])
        assert Family6.ends(answer) == (address, a.address6) and Family6.hops(answer) == 255
        said = answer[ICMPv6ND_NA]
        router = int(address == a.info["gateway6"])
        assert (said.R, said.S, said.O, said.lladdr) == (router, 1, 1, GATEWAY_MAC) and not wrong_checksums(answer)


def test_two_endpoints_one_source_port_one_destination(host, a, b, family):
    for proto in ("tcp", "udp"):
        with echo(host.outside, proto, address=family.any) as server:
            sessions = [getattr(netns, proto + "_session")(family.far, server.port, source_port=7777)
                        for netns in (a, b)]
            for turn in range(3):
                for index, session in enumerate(sessions):
                    assert session.ask(f"{index}.{turn}")["data"] == f"{index}.{turn}"
            ports = {line["port"] for line in server.wait(lambda line: "data" in line, count=6)}
            assert 7777 in ports and len(ports) == 2
            for session in sessions:
                session.stop()


def test_out_back_and_out_again_after_closing(host, a, family):
    """The same four-tuple again and again: a closed connection stands in nobody's way."""
    with host.outside.tcp_echo(address=family.any) as server:
        for _ in range(5):
            assert a.tcp(family.far, server.port, source_port=7778)["port"] == 7778


def test_counters_of_an_endpoint(host, a, family):
    before = a.info
    assert a.ping(family.far, count=3).returncode == 0
    after = a.info
    assert after["tx_packets"] - before["tx_packets"] >= 3
    assert after["rx_packets"] - before["rx_packets"] >= 3
    assert after["tx_bytes"] - before["tx_bytes"] >= 3 * 84
    assert after["rx_bytes"] - before["rx_bytes"] >= 3 * 84
