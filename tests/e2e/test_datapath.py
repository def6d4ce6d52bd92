# SPDX-License-Identifier: GPL-2.0-only
"""Every path of a packet: that it arrives, whom the other side sees, and what it looked like on the wire."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR
from wire import GATEWAY_MAC, NAT_PORTS, SECOND_ADDRESS, check_every_path, echo, question, wrong_checksums

pytestmark = pytest.mark.attach


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


def test_every_path(host, a, b):
    check_every_path(host, a, b)
    assert host.json()["host"]["attach"] == host.attach


def test_every_address_of_the_host(host, a):
    host.ip("address", "add", SECOND_ADDRESS + "/32", "dev", "up0")
    host.ip_batch("link add other0 type veth peer name other1", "link set other1 up", "link set other0 up",
                  "address add 172.20.0.1/24 dev other0", "address add 172.21.0.1/32 dev lo")
    for proto in ("tcp", "udp"):
        for address in (HOST_ADDRESS, SECOND_ADDRESS, "172.20.0.1", "172.21.0.1", a.info["gateway"]):
            with echo(host, proto, address=address) as server:
                seen = question(a, proto, address, server.port)
                assert (seen["peer"], seen["local"]) == (a.address, address)
            with echo(a, proto) as server:
                assert question(host, proto, a.address, server.port, source=address)["peer"] == address
    assert a.ping("172.20.0.1").returncode == 0


ROUTERS = {
    "iptables FORWARD DROP": ["iptables -P FORWARD DROP", "iptables -A FORWARD -j DROP"],
    "legacy FORWARD DROP": ["iptables-legacy -P FORWARD DROP", "iptables-legacy -A FORWARD -j DROP"],
    "nft forward drop": ["nft add table inet t",
                         "nft add chain inet t f '{ type filter hook forward priority 0 ; policy drop ; }'"],
    "ip_forward=1": ["sysctl -q net.ipv4.ip_forward=1"],
    "ip_forward=1 and back": ["sysctl -q net.ipv4.ip_forward=1", "sysctl -q net.ipv4.ip_forward=0"],
}


def rules(host):
    """Of both backends of iptables, and of nft."""
    return [host.run(*command.split()).stdout for command in ("nft list ruleset", "iptables-legacy -S",
                                                              "iptables-legacy -t nat -S")]


def check_with_an_exposed_port(host, a, b):
    check_every_path(host, a, b)
    with b.tcp_echo(5000):
        assert host.outside.tcp(HOST_ADDRESS, 5000)["peer"] == OUTSIDE_ADDRESS
        assert a.tcp(HOST_ADDRESS, 5000)["peer"] == HOST_ADDRESS
        assert host.tcp("127.0.0.1", 5000)["data"] == "hello"


@pytest.mark.parametrize("router", ROUTERS)
@pytest.mark.parametrize("when", ["before", "after"])
def test_pitfall_moby_39439_48365_kubernetes_71305_forward_drop(host, router, when):
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
    check_with_an_exposed_port(host, a, b)


def test_pitfall_netavark_230_podman_8048_cni_512_firewall_reload(host, a, b):
    """Everything goes on: what is exposed, what comes new, and what is under way."""
    host.nsbpf("expose", b.name, "5000")
    with b.tcp_echo(5000), host.outside.tcp_echo(8080):
        sessions = [host.outside.tcp_session(HOST_ADDRESS, 5000), a.tcp_session(OUTSIDE_FAR, 8080)]
        assert all(session.ask()["data"] == "hello" for session in sessions)
        for command in ("nft add table ip nat", "nft flush ruleset", "iptables-legacy -F", "iptables-legacy -t nat -F"):
            host.run(*command.split())
        assert all(session.ask("still")["data"] == "still" for session in sessions)
    check_with_an_exposed_port(host, a, b)


def test_pitfall_netavark_962_podman_17432_strict_rp_filter(host):
    """With several networks, all of them served by one host."""
    for name in ("all", "default"):
        host.sysctl(f"net.ipv4.conf.{name}.rp_filter", "1")
    host.nsbpf("network", "add", "blue", "--subnet", "172.20.0.0/24")
    for port, network in ((5000, "default"), (5001, "blue")):
        a, b = (host.add(f"{network}{number}", "--network", network) for number in range(2))
        host.nsbpf("expose", b.name, f"{port}")
        check_every_path(host, a, b)
    for port, name in ((5000, "default1"), (5001, "blue1")):
        with host.endpoint(name).tcp_echo(port):
            for client in (host.outside, host, *map(host.endpoint, ("default0", "blue0"))):
                assert question(client, "tcp", HOST_ADDRESS, port)["local"] == host.endpoint(name).address


# Where checksums are made: by the endpoint's stack, by the uplink's segmentation, or by nobody (CHECKSUM_PARTIAL).
@pytest.mark.parametrize("offload", ["endpoint off", "uplink off", "both off"])
@pytest.mark.parametrize("proto, layer", [("tcp", TCP), ("udp", UDP)])
def test_masqueraded_on_the_wire(host, a, proto, layer, offload):
    wan, inside = host.outside.capture("wan0"), a.capture("eth0")
    for netns, device in ((a, "eth0"), (host, "up0")):
        if offload in ("both off", ("endpoint" if netns is a else "uplink") + " off"):
            netns.run("ethtool", "-K", device, "tx", "off")
    if offload != "uplink off":
        host.outside.run("ethtool", "-K", "wan0", "tx", "off")
    with echo(host.outside, proto) as server:
        seen = question(a, proto, OUTSIDE_FAR, server.port, text="x" * 101)
    source_port = seen["client"]["local_port"]
    assert seen["port"] in NAT_PORTS

    out = wan.expect(lambda p: layer in p and p[layer].dport == server.port)
    for packet in out:
        assert (packet[IP].src, packet[IP].dst, packet[layer].sport) == (HOST_ADDRESS, OUTSIDE_FAR, seen["port"])
        assert packet[IP].ttl == 63
        assert packet[Ether].src == host.link("up0")["address"]
        assert not packet.partial and not wrong_checksums(packet)
    back = inside.expect(lambda p: layer in p and p[layer].sport == server.port)
    for packet in back:
        assert (packet[IP].src, packet[IP].dst, packet[layer].dport) == (OUTSIDE_FAR, a.address, source_port)
        assert packet[IP].ttl == 63
        assert (packet[Ether].src, packet[Ether].dst) == (GATEWAY_MAC, a.info["mac"])
        assert packet.pkttype == packet.HOST
        assert packet.partial or not wrong_checksums(packet)
        assert offload == "uplink off" or not packet.partial
    assert not wan.matching(lambda p: IP in p and p[IP].src.startswith("10.80."))


def test_ping_on_the_wire(host, a):
    wan, inside = host.outside.capture("wan0"), a.capture("eth0")
    done = a.ping(OUTSIDE_FAR, count=3)
    assert done.returncode == 0 and "ttl=63" in done.stdout
    asked = wan.expect(lambda p: ICMP in p and p[ICMP].type == 8, count=3)
    assert {(p[IP].src, p[IP].dst, p[IP].ttl) for p in asked} == {(HOST_ADDRESS, OUTSIDE_FAR, 63)}
    assert len({p[ICMP].id for p in asked}) == 1
    answered = inside.expect(lambda p: ICMP in p and p[ICMP].type == 0, count=3)
    assert {(p[IP].src, p[IP].dst, p[IP].ttl) for p in answered} == {(OUTSIDE_FAR, a.address, 63)}
    assert not [wrong_checksums(p) for p in asked + answered if wrong_checksums(p)]


def test_pitfall_redirect_peer_mac_of_the_endpoint(host, a, b):
    """Neighbours in one subnet: no router between them."""
    inside = b.capture("eth0")
    a.run("ethtool", "-K", "eth0", "tx", "off")
    with b.tcp_echo() as server:
        question(a, "tcp", b.address, server.port)
    for packet in inside.expect(lambda p: TCP in p and p[TCP].dport == server.port, count=3):
        assert (packet[IP].src, packet[IP].dst, packet[IP].ttl) == (a.address, b.address, 64)
        assert (packet[Ether].src, packet[Ether].dst) == (GATEWAY_MAC, b.info["mac"])
        assert packet.pkttype == packet.HOST
        assert not packet.partial and not wrong_checksums(packet)


def test_host_and_endpoint_on_the_wire(host, a):
    inside = a.capture("eth0")
    with host.tcp_echo() as server:
        question(a, "tcp", HOST_ADDRESS, server.port)
    for packet in inside.expect(lambda p: TCP in p and p[TCP].sport == server.port, count=2):
        assert (packet[IP].src, packet[IP].dst, packet[IP].ttl) == (HOST_ADDRESS, a.address, 64)


def test_exposed_on_the_wire(host, a):
    host.nsbpf("expose", a.name, "5000:80")
    inside, wan = a.capture("eth0"), host.outside.capture("wan0")
    for netns, device in ((a, "eth0"), (host.outside, "wan0")):
        netns.run("ethtool", "-K", device, "tx", "off")
    with a.tcp_echo(80):
        seen = question(host.outside, "tcp", HOST_ADDRESS, 5000)
    client_port = seen["client"]["local_port"]
    assert (seen["peer"], seen["port"], seen["local"]) == (OUTSIDE_ADDRESS, client_port, a.address)
    for packet in inside.expect(lambda p: TCP in p and p[TCP].dport == 80, count=3):
        assert (packet[IP].src, packet[TCP].sport, packet[IP].dst) == (OUTSIDE_ADDRESS, client_port, a.address)
        assert packet[IP].ttl == 63 and not wrong_checksums(packet)
        assert packet[Ether].dst == a.info["mac"] and packet.pkttype == packet.HOST
    for packet in wan.expect(lambda p: TCP in p and p[TCP].dport == client_port, count=2):
        assert (packet[IP].src, packet[TCP].sport, packet[IP].dst) == (HOST_ADDRESS, 5000, OUTSIDE_ADDRESS)
        assert packet[IP].ttl == 63 and not wrong_checksums(packet)


def test_hairpin_on_the_wire(host, a, b):
    host.nsbpf("expose", a.name, "5000:80")
    inside = a.capture("eth0")
    b.run("ethtool", "-K", "eth0", "tx", "off")
    with a.tcp_echo(80):
        seen = question(b, "tcp", HOST_ADDRESS, 5000)
    assert seen["peer"] == HOST_ADDRESS and seen["port"] in NAT_PORTS
    for packet in inside.expect(lambda p: TCP in p and p[TCP].dport == 80, count=3):
        assert (packet[IP].src, packet[TCP].sport, packet[IP].dst) == (HOST_ADDRESS, seen["port"], a.address)
        assert packet[IP].ttl == 63 and not wrong_checksums(packet)
        assert (packet[Ether].src, packet[Ether].dst) == (GATEWAY_MAC, a.info["mac"])
        assert packet.pkttype == packet.HOST


def test_pitfall_xdp_forward_ttl_ends_at_the_hop_that_drops(host, a):
    """TTL 1 goes no further than the host; TTL 2 reaches the outside machine."""
    before = host.json()["drops"]["ttl"]
    wan = host.outside.capture("wan0")
    assert a.run("ping", "-n", "-c", "1", "-W", "1", "-t", "1", OUTSIDE_FAR, check=False).returncode
    assert a.run("ping", "-n", "-c", "1", "-W", "2", "-t", "2", OUTSIDE_FAR).returncode == 0
    assert [p[IP].ttl for p in wan.expect(lambda p: ICMP in p and p[ICMP].type == 8)] == [1]
    assert host.json()["drops"]["ttl"] == before + 1


def test_arp_inside_the_subnet(host, a, b):
    """Answered by the datapath: the host's stack and the neighbour never see the question."""
    device, inside = host.capture(b.device), b.capture("eth0")
    assert a.ping(b.address).returncode == 0
    assert a.ping(a.info["gateway"]).returncode == 0
    neighbours = {entry["dst"]: entry["lladdr"] for entry in a.ip_json("neighbour") if "lladdr" in entry}
    assert neighbours[b.address] == neighbours[a.info["gateway"]] == GATEWAY_MAC
    inside.expect(lambda p: ICMP in p)
    asked = [p for p in inside.packets + device.packets if ARP in p and p[ARP].op == 1]
    assert not [p for p in asked if p[ARP].psrc == a.address]


def test_two_endpoints_one_source_port_one_destination(host, a, b):
    for proto in ("tcp", "udp"):
        with echo(host.outside, proto) as server:
            sessions = [getattr(netns, proto + "_session")(OUTSIDE_FAR, server.port, source_port=7777)
                        for netns in (a, b)]
            for turn in range(3):
                for index, session in enumerate(sessions):
                    assert session.ask(f"{index}.{turn}")["data"] == f"{index}.{turn}"
            ports = {line["port"] for line in server.wait(lambda line: "data" in line, count=6)}
            assert 7777 in ports and len(ports) == 2
            for session in sessions:
                session.stop()


def test_out_back_and_out_again_after_closing(host, a):
    """The same four-tuple again and again: a closed connection stands in nobody's way."""
    with host.outside.tcp_echo() as server:
        for _ in range(5):
            assert a.tcp(OUTSIDE_FAR, server.port, source_port=7778)["port"] == 7778


def test_counters_of_an_endpoint(host, a):
    before = a.info
    assert a.ping(OUTSIDE_FAR, count=3).returncode == 0
    after = a.info
    assert after["tx_packets"] - before["tx_packets"] >= 3
    assert after["rx_packets"] - before["rx_packets"] >= 3
    assert after["tx_bytes"] - before["tx_bytes"] >= 3 * 84
    assert after["rx_bytes"] - before["rx_bytes"] >= 3 * 84
