# SPDX-License-Identifier: GPL-2.0-only
"""Who may not talk to whom: strangers, neighbours of the uplink, other networks, and endpoints that lie.

The stranger routes the endpoints' subnet at the host, by the uplink's LAN or by a LAN of the host's that is no uplink:

    outside ---- up0 host nsb-... ---- endpoint
    lan     ---- lan0
"""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR, wait_for
from wire import GATEWAY_MAC, echo, question

pytestmark = pytest.mark.attach

LAN_HOST, LAN_MACHINE = "192.0.2.1", "192.0.2.2"


@pytest.fixture
def a(host):
    return host.add("a")


@pytest.fixture
def b(host, a):
    return host.add("b")


@pytest.fixture
def lan(host):
    machine = host.machine("l")
    host.connect(host, "lan0", machine, "eth0")
    host.ip("address", "add", LAN_HOST + "/24", "dev", "lan0")
    machine.ip_batch(f"address add {LAN_MACHINE}/24 dev eth0", f"route add default via {LAN_HOST}")
    return machine


def drops(host, reason):
    return host.json()["drops"][reason]


def strangers_packets(stranger, device, mac, source, target):
    """Every kind of packet that might get in, straight to the endpoint."""
    ip = Ether(src=stranger.link(device)["address"], dst=mac) / IP(src=source, dst=target)
    return [ip / TCP(sport=999, dport=80, flags=flags) for flags in ("S", "A", "SA", "R", "FA")] + [
        ip / UDP(sport=999, dport=53) / Raw(b"x"), ip / ICMP(id=1) / Raw(b"x"), ip / ICMP(type=0, id=1) / Raw(b"x"),
        ip / ICMP(type=3, code=4) / IP(src=target, dst=source) / UDP(sport=53, dport=999),
        Ether(bytes(ip / UDP() / Raw(b"x"))) / Raw(b"trailer")]


@pytest.mark.parametrize("forward", ["0", "1"])
@pytest.mark.parametrize("where", ["uplink", "lan"])
def test_nothing_unsolicited_gets_in(host, a, lan, where, forward):
    host.sysctl("net.ipv4.ip_forward", forward)
    host.sysctl("net.ipv4.conf.all.rp_filter", "0")
    stranger, device, inner = (host.outside, "wan0", "up0") if where == "uplink" else (lan, "eth0", "lan0")
    stranger.ip("route", "add", "10.80.0.0/16", "via", HOST_ADDRESS if where == "uplink" else LAN_HOST)
    inside = a.capture("eth0")
    before = drops(host, "unsolicited")
    with a.tcp_echo(80), a.udp_echo(53):
        assert "error" in stranger.tcp(a.address, 80, timeout=0.5)
        assert "error" in stranger.udp(a.address, 53, timeout=0.5)
        assert stranger.ping(a.address, timeout=1).returncode
        for source in (OUTSIDE_ADDRESS, LAN_MACHINE, OUTSIDE_FAR, "10.80.0.3"):
            stranger.send(device, *strangers_packets(stranger, device, host.link(inner)["address"], source, a.address))
        # What the host sends of its own arrives, and after what was sent before it.
        assert host.ping(a.address).returncode == 0
    inside.expect(lambda p: ICMP in p and p[ICMP].type == 8)
    gateway = a.info["gateway"]
    assert not inside.matching(lambda p: IP in p and p[IP].src not in (a.address, gateway, HOST_ADDRESS))
    if forward == "1":  # else the host's own stack has dropped them
        assert drops(host, "unsolicited") >= before + 10


def test_a_lan_that_is_no_uplink_is_not_reached_either(host, a, lan):
    """Masquerade goes out of uplinks; another route of the host's is not the endpoint's business."""
    host.sysctl("net.ipv4.ip_forward", "1")
    wire = lan.capture("eth0")
    before = drops(host, "not-uplink")
    with lan.tcp_echo(80):
        assert "error" in a.tcp(LAN_MACHINE, 80, timeout=0.5)
    assert a.ping(LAN_MACHINE, timeout=1).returncode
    assert drops(host, "not-uplink") > before
    assert lan.ping(LAN_HOST).returncode == 0
    wire.expect(lambda p: ICMP in p)
    assert not wire.matching(lambda p: IP in p and p[IP].src not in (LAN_HOST, LAN_MACHINE))
    # Until the operator says that it is one.
    host.nsbpf("uplink", "add", "lan0")
    with lan.tcp_echo(80):
        assert a.tcp(LAN_MACHINE, 80)["peer"] == LAN_HOST


def test_tagged_frames_are_not_for_exposed_ports(host, a):
    """The kernel takes the tag off before tc sees the frame: it is another network's all the same."""
    host.nsbpf("expose", a.name, "5000/udp")
    inside = a.capture("eth0")
    ether = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
    packet = IP(src=OUTSIDE_ADDRESS, dst=HOST_ADDRESS) / UDP(sport=9, dport=5000) / Raw(b"tagged")
    host.outside.send("wan0", *[ether / Dot1Q(vlan=tag) / packet for tag in (0, 5)])
    with a.udp_echo(5000):
        question(host.outside, "udp", HOST_ADDRESS, 5000)
    inside.expect(lambda p: UDP in p and p[UDP].dport == 5000)
    assert not inside.matching(lambda p: b"tagged" in p.frame)


def test_an_open_flow_opens_nothing_else(host, a):
    """The endpoint talks to the outside machine: its other ports, and another machine's packets, stay out."""
    with host.outside.udp_echo() as server, a.udp_echo(6000):
        session = a.udp_session(OUTSIDE_ADDRESS, server.port, source_port=7000)
        assert session.ask()["peer"] == HOST_ADDRESS
        inside = a.capture("eth0")
        assert "error" in host.outside.udp(HOST_ADDRESS, 7000, timeout=0.5)       # from another port
        assert "error" in host.outside.udp(HOST_ADDRESS, 6000, timeout=0.5)       # to another port
        frame = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
        stranger = IP(src=OUTSIDE_FAR, dst=HOST_ADDRESS) / UDP(sport=server.port, dport=7000)
        host.outside.send("wan0", frame / stranger / Raw(b"x"))
        assert session.ask()["data"] == "hello"
        assert {(p[IP].src, p[UDP].sport) for p in inside.expect(lambda p: UDP in p and p[IP].dst == a.address)} == {
            (OUTSIDE_ADDRESS, server.port)}


@pytest.mark.parametrize("first, second", [("default", "other"), ("other", "another")])
@pytest.mark.parametrize("forward", ["0", "1"])
def test_networks_are_isolated(host, first, second, forward):
    host.sysctl("net.ipv4.ip_forward", forward)
    for number, name in enumerate({first, second} - {"default"}):
        host.nsbpf("network", "add", name, "--subnet", f"10.{90 + number}.0.0/24")
    a, b = host.add("a", "--network", first), host.add("b", "--network", second)
    inside, before = b.capture("eth0"), drops(host, "isolated")
    for proto in ("tcp", "udp"):
        with echo(b, proto) as server:
            assert "error" in getattr(a, proto)(b.address, server.port, timeout=0.5)
    assert a.ping(b.address, timeout=1).returncode
    # The other network's gateway is an address of the host's like any other: reached, and no way further.
    assert a.ping(b.info["gateway"]).returncode == 0
    assert host.ping(b.address).returncode == 0
    inside.expect(lambda p: ICMP in p)
    assert not inside.matching(lambda p: IP in p and p[IP].src == a.address)
    assert drops(host, "isolated") > before
    # Through an exposed port it is open to everybody, whichever network he is in.
    host.nsbpf("expose", b.name, "5000")
    with b.tcp_echo(5000):
        assert question(a, "tcp", HOST_ADDRESS, 5000)["peer"] == HOST_ADDRESS


def test_open_networks_talk_to_each_other(host):
    for number, name in enumerate(("one", "two", "closed")):
        host.nsbpf("network", "add", name, "--subnet", f"10.{90 + number}.0.0/24", "--isolate",
                   "on" if name == "closed" else "off")
    one, two, closed = (host.add(name, "--network", name) for name in ("one", "two", "closed"))
    for proto in ("tcp", "udp"):
        with echo(two, proto) as server:
            assert question(one, proto, two.address, server.port)["peer"] == one.address
            assert "error" in getattr(closed, proto)(two.address, server.port, timeout=0.5)
        with echo(closed, proto) as server:
            assert "error" in getattr(one, proto)(closed.address, server.port, timeout=0.5)
    done = one.ping(two.address)
    assert done.returncode == 0 and "ttl=63" in done.stdout


def test_spoofing_from_inside(host, a, b):
    wan, neighbour = host.outside.capture("wan0"), b.capture("eth0")
    mac, b_mac = a.info["mac"], b.info["mac"]
    frame, payload = Ether(src=mac, dst=GATEWAY_MAC), UDP(sport=1, dport=53) / Raw(b"spoofed")
    before = host.json()["drops"]
    lies = {
        "spoofed-ip": [frame / IP(src=source, dst=target) / payload
                       for source in (b.address, HOST_ADDRESS, OUTSIDE_ADDRESS, "127.0.0.1", "10.80.0.1")
                       for target in (OUTSIDE_FAR, b.address, HOST_ADDRESS)],
        "spoofed-mac": [Ether(src=source, dst=GATEWAY_MAC) / IP(src=a.address, dst=target) / payload
                        for source in (b_mac, GATEWAY_MAC, "02:00:00:00:00:01")
                        for target in (OUTSIDE_FAR, b.address, HOST_ADDRESS)],
        "spoofed-arp": [Ether(src=mac, dst=target) / ARP(op=op, hwsrc=mac, psrc=claimed, pdst=b.address)
                        for target in ("ff:ff:ff:ff:ff:ff", b_mac) for op in (1, 2)
                        for claimed in ("10.80.0.1", "10.80.0.9")],
    }
    a.send("eth0", *sum(lies.values(), []))
    assert a.ping(OUTSIDE_FAR).returncode == 0 and a.ping(b.address).returncode == 0
    wan.expect(lambda p: ICMP in p)
    neighbour.expect(lambda p: ICMP in p)
    after = host.json()["drops"]
    for reason, sent in lies.items():
        assert after[reason] - before[reason] == len(sent), reason
    for packet in wan.packets + neighbour.packets:
        assert Raw not in packet or b"spoofed" not in packet[Raw].load
        assert ARP not in packet or packet[ARP].psrc not in ("10.80.0.9",)
    assert host.ip_json("neighbour", "show", b.address)[0]["lladdr"] == b_mac


@pytest.mark.parametrize("forward", ["0", "1"])
def test_frames_cut_short(host, a, forward):
    """From the first byte behind the Ethernet header on. A test run of the programs refuses the shortest."""
    host.sysctl("net.ipv4.ip_forward", forward)
    wan = host.outside.capture("wan0")
    header = Ether(src=a.info["mac"], dst=GATEWAY_MAC) / IP(src=a.address, dst=OUTSIDE_FAR)
    frames = [bytes(header / payload)[:length] for length in range(14, 14 + 65)
              for payload in (TCP(sport=9, dport=80) / Raw(bytes(60)), UDP(sport=9, dport=80) / Raw(bytes(60)))]
    before = drops(host, "malformed")
    a.send("eth0", *frames)
    assert a.ping(OUTSIDE_FAR).returncode == 0
    wan.expect(lambda p: ICMP in p)
    assert drops(host, "malformed") == before + len(frames)
    assert not wan.matching(lambda p: IP in p and p[IP].src != HOST_ADDRESS and p[IP].src != OUTSIDE_FAR)
    assert not wan.matching(lambda p: TCP in p or UDP in p)


def test_other_protocols_stay_inside(host, a, b):
    """GRE, ESP, SCTP and the like have no ports to translate: to neighbours yes, to the outside no."""
    host.sysctl("net.ipv4.ip_forward", "1")
    wan, neighbour = host.outside.capture("wan0"), b.capture("eth0")
    frame = Ether(src=a.info["mac"], dst=GATEWAY_MAC)
    protocols = (4, 47, 50, 132, 136)
    before = drops(host, "protocol")
    a.send("eth0", *[frame / IP(src=a.address, dst=target, proto=proto) / Raw(b"payload of a protocol")
                     for target in (OUTSIDE_FAR, b.address) for proto in protocols])
    assert a.ping(OUTSIDE_FAR).returncode == 0
    wan.expect(lambda p: ICMP in p)
    assert not wan.matching(lambda p: IP in p and p[IP].proto in protocols)
    assert drops(host, "protocol") == before + len(protocols)
    neighbour.expect(lambda p: IP in p and p[IP].proto in protocols, count=len(protocols))


def test_ipv6_stays_inside(host, a):
    """Until there is IPv6, none gets to the host or out."""
    device = host.capture("up0")
    before = drops(host, "ethertype")
    frame = Ether(src=a.info["mac"], dst=GATEWAY_MAC, type=0x86dd) / Raw(b"\x60" + bytes(59))
    a.send("eth0", frame)
    wait_for(lambda: drops(host, "ethertype") > before, 3)
    assert a.ping(OUTSIDE_FAR).returncode == 0
    device.expect(lambda p: ICMP in p)
    assert not device.matching(lambda p: p[Ether].type == 0x86dd)


def test_broadcast_is_dropped(host, a, b):
    """In a network without a bridge there is nobody who would copy it."""
    inside, before = b.capture("eth0"), drops(host, "multicast")
    frame = Ether(src=a.info["mac"], dst="ff:ff:ff:ff:ff:ff")
    a.send("eth0", *[frame / IP(src=a.address, dst=target) / UDP(sport=9, dport=9) / Raw(b"everybody")
                     for target in ("255.255.255.255", "10.80.255.255", "224.0.0.1")])
    assert a.ping(b.address).returncode == 0
    inside.expect(lambda p: ICMP in p)
    assert not inside.matching(lambda p: UDP in p)
    assert drops(host, "multicast") >= before + 3
