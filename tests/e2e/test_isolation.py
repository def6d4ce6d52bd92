# SPDX-License-Identifier: GPL-2.0-only
"""Who may not talk to whom: strangers, neighbours of the uplink, other networks, and endpoints that lie.

The stranger routes the endpoints' subnet at the host, by the uplink's LAN or by a LAN of the host's that is no uplink:

    outside ---- up0 host nsb-... ---- endpoint
    lan     ---- lan0
"""
import pytest
from families import Family4
from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6PacketTooBig
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Raw
from wire import GATEWAY_MAC, echo, question

pytestmark = pytest.mark.attach


@pytest.fixture
def lan(host, family):
    machine = host.machine("l")
    host.connect(host, "lan0", machine, "eth0")
    host.add_address(f"{family.lan_host}/{family.link_length}", "lan0")
    machine.add_address(f"{family.lan_machine}/{family.link_length}", "eth0")
    machine.ip("route", "add", "default", "via", family.lan_host)
    return machine


def drops(host, reason):
    return host.json()["drops"][reason]


def strangers_packets(family, stranger, device, mac, source, target):
    """Every kind of packet that might get in, straight to the endpoint."""
    ip = Ether(src=stranger.link(device)["address"], dst=mac) / family.ip(source, target)
    too_big = ICMPv6PacketTooBig(mtu=1280) if family.number == 6 else ICMP(type=3, code=4)
    return [ip / TCP(sport=999, dport=80, flags=flags) for flags in ("S", "A", "SA", "R", "FA")] + [
        ip / UDP(sport=999, dport=53) / Raw(b"x"), ip / family.request(id=1) / Raw(b"x"),
        ip / family.reply(id=1) / Raw(b"x"), ip / too_big / family.ip(target, source) / UDP(sport=53, dport=999),
        Ether(bytes(ip / UDP() / Raw(b"x"))) / Raw(b"trailer")]


@pytest.mark.parametrize("forward", ["0", "1"])
@pytest.mark.parametrize("where", ["uplink", "lan"])
def test_nothing_unsolicited_gets_in(host, a, lan, where, forward, family):
    host.sysctl(f"{family.conf}.conf.all.forwarding", forward)
    host.sysctl("net.ipv4.conf.all.rp_filter", "0")
    stranger, device, inner = (host.outside, "wan0", "up0") if where == "uplink" else (lan, "eth0", "lan0")
    address = a.address_of(family)
    stranger.ip("route", "add", address, "via", family.host if where == "uplink" else family.lan_host)
    inside = a.capture("eth0")
    before = drops(host, "unsolicited")
    with a.tcp_echo(80, family.any), a.udp_echo(53, family.any):
        assert "error" in stranger.tcp(address, 80, timeout=0.5)
        assert "error" in stranger.udp(address, 53, timeout=0.5)
        assert stranger.ping(address, timeout=1).returncode
        neighbour = address[:-1] + "3"
        for source in (family.outside, family.lan_machine, family.far, neighbour):
            mac = host.link(inner)["address"]
            stranger.send(device, *strangers_packets(family, stranger, device, mac, source, address))
        # What the host sends of its own arrives, and after what was sent before it.
        assert host.ping(address).returncode == 0
    inside.expect(family.is_request)
    known = (address, a.gateway_of(family), family.host)
    assert not inside.matching(lambda p: family.IP in p and p.pkttype == p.HOST and p[family.IP].src not in known)
    if forward == "1":  # else the host's own stack has dropped them
        assert drops(host, "unsolicited") >= before + 10


def test_a_lan_that_is_no_uplink_is_not_reached_either(host, a, lan, family):
    """Masquerade goes out of uplinks; another route of the host's is not the endpoint's business."""
    host.sysctl(f"{family.conf}.conf.all.forwarding", "1")
    wire = lan.capture("eth0")
    before = drops(host, "not-uplink")
    with lan.tcp_echo(80, family.any):
        assert "error" in a.tcp(family.lan_machine, 80, timeout=0.5)
    assert a.ping(family.lan_machine, timeout=1).returncode
    assert drops(host, "not-uplink") > before
    assert lan.ping(family.lan_host).returncode == 0
    wire.expect(family.is_reply)
    assert not wire.matching(lambda p: family.IP in p and p[family.IP].src == a.address_of(family))
    asked = wire.matching(family.is_request)
    assert {family.ends(p) for p in asked} == {(family.lan_machine, family.lan_host)}
    # Until the operator says that it is one.
    host.nsbpf("uplink", "add", "lan0")
    with lan.tcp_echo(80, family.any):
        assert a.tcp(family.lan_machine, 80)["peer"] == family.lan_host


def test_tagged_frames_are_not_for_exposed_ports(host, a, family):
    """The kernel takes the tag off before tc sees the frame: it is another network's all the same."""
    host.nsbpf("expose", a.name, "5000/udp")
    inside = a.capture("eth0")
    ether = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
    packet = family.ip(family.outside, family.host) / UDP(sport=9, dport=5000) / Raw(b"tagged")
    host.outside.send("wan0", *[ether / Dot1Q(vlan=tag) / packet for tag in (0, 5)])
    with a.udp_echo(5000, family.any):
        question(host.outside, "udp", family.host, 5000)
    inside.expect(lambda p: UDP in p and p[UDP].dport == 5000)
    assert not inside.matching(lambda p: b"tagged" in p.frame)


def test_an_open_flow_opens_nothing_else(host, a, family):
    """The endpoint talks to the outside machine: its other ports, and another machine's packets, stay out."""
    with host.outside.udp_echo(address=family.any) as server, a.udp_echo(6000, family.any):
        session = a.udp_session(family.outside, server.port, source_port=7000)
        assert session.ask()["peer"] == family.host
        inside = a.capture("eth0")
        assert "error" in host.outside.udp(family.host, 7000, timeout=0.5)       # from another port
        assert "error" in host.outside.udp(family.host, 6000, timeout=0.5)       # to another port
        frame = Ether(src=host.outside.link("wan0")["address"], dst=host.link("up0")["address"])
        stranger = family.ip(family.far, family.host) / UDP(sport=server.port, dport=7000)
        host.outside.send("wan0", frame / stranger / Raw(b"x"))
        assert session.ask()["data"] == "hello"
        arrived = inside.expect(lambda p: UDP in p and p[family.IP].dst == a.address_of(family))
        assert {(p[family.IP].src, p[UDP].sport) for p in arrived} == {(family.outside, server.port)}


@pytest.mark.parametrize("first, second", [("default", "other"), ("other", "another")])
@pytest.mark.parametrize("forward", ["0", "1"])
def test_networks_are_isolated(host, first, second, forward, family):
    host.sysctl(f"{family.conf}.conf.all.forwarding", forward)
    for number, name in enumerate({first, second} - {"default"}):
        host.nsbpf("network", "add", name, "--subnet", f"10.{90 + number}.0.0/24")
    a, b = host.add("a", "--network", first), host.add("b", "--network", second)
    inside, before = b.capture("eth0"), drops(host, "isolated")
    for proto in ("tcp", "udp"):
        with echo(b, proto, address=family.any) as server:
            assert "error" in getattr(a, proto)(b.address_of(family), server.port, timeout=0.5)
    assert a.ping(b.address_of(family), timeout=1).returncode
    # The other network's gateway is an address of the host's like any other: reached, and no way further.
    assert a.ping(b.gateway_of(family)).returncode == 0
    assert host.ping(b.address_of(family)).returncode == 0
    inside.expect(family.is_request)
    assert not inside.matching(lambda p: family.IP in p and p[family.IP].src == a.address_of(family))
    assert drops(host, "isolated") > before
    # Through an exposed port it is open to everybody, whichever network he is in.
    host.nsbpf("expose", b.name, "5000")
    with b.tcp_echo(5000, family.any):
        assert question(a, "tcp", family.host, 5000)["peer"] == family.host


def test_open_networks_talk_to_each_other(host, family):
    for number, name in enumerate(("one", "two", "closed")):
        host.nsbpf("network", "add", name, "--subnet", f"10.{90 + number}.0.0/24", "--isolate",
                   "on" if name == "closed" else "off")
    one, two, closed = (host.add(name, "--network", name) for name in ("one", "two", "closed"))
    for proto in ("tcp", "udp"):
        with echo(two, proto, address=family.any) as server:
            assert question(one, proto, two.address_of(family), server.port)["peer"] == one.address_of(family)
            assert "error" in getattr(closed, proto)(two.address_of(family), server.port, timeout=0.5)
        with echo(closed, proto, address=family.any) as server:
            assert "error" in getattr(one, proto)(closed.address_of(family), server.port, timeout=0.5)
    done = one.ping(two.address_of(family))
    assert done.returncode == 0 and "ttl=63" in done.stdout


def test_spoofing_from_inside(host, a, b, family):
    """(What concerns neighbour discovery is in test_neighbour_discovery.)"""
    wan, neighbour = host.outside.capture("wan0"), b.capture("eth0")
    mac, b_mac = a.info["mac"], b.info["mac"]
    frame, payload = Ether(src=mac, dst=GATEWAY_MAC), UDP(sport=1, dport=53) / Raw(b"spoofed")
    before = host.json()["drops"]
    lies = {
        "spoofed-ip": [frame / family.ip(source, target) / payload
                       for source in (b.address_of(family), family.host, family.outside, family.loopback, family.any,
                                      a.gateway_of(family))
                       for target in (family.far, b.address_of(family), family.host)],
        "spoofed-mac": [Ether(src=source, dst=GATEWAY_MAC) / family.ip(a.address_of(family), target) / payload
                        for source in (b_mac, GATEWAY_MAC, "02:00:00:00:00:01")
                        for target in (family.far, b.address_of(family), family.host)],
        "spoofed-arp": [Ether(src=mac, dst=target) / ARP(op=op, hwsrc=mac, psrc=claimed, pdst=b.address)
                        for target in ("ff:ff:ff:ff:ff:ff", b_mac) for op in (1, 2)
                        for claimed in ("10.80.0.1", "10.80.0.9")],
    }
    a.send("eth0", *sum(lies.values(), []))
    assert a.ping(family.far).returncode == 0 and a.ping(b.address_of(family)).returncode == 0
    wan.expect(family.is_request)
    neighbour.expect(family.is_request)
    after = host.json()["drops"]
    for reason, sent in lies.items():
        assert after[reason] - before[reason] == len(sent), reason
    for packet in wan.packets + neighbour.packets:
        assert Raw not in packet or b"spoofed" not in packet[Raw].load
        assert ARP not in packet or packet[ARP].psrc != "10.80.0.9"
    assert host.ip_json("neighbour", "show", b.address_of(family))[0]["lladdr"] == b_mac


@pytest.mark.parametrize("forward", ["0", "1"])
def test_frames_cut_short(host, a, forward, family):
    """From the first byte behind the Ethernet header on. A test run of the programs refuses the shortest."""
    host.sysctl(f"{family.conf}.conf.all.forwarding", forward)
    wan = host.outside.capture("wan0")
    header = Ether(src=a.info["mac"], dst=GATEWAY_MAC) / family.ip(a.address_of(family), family.far)
    frames = [bytes(header / payload)[:length] for length in range(14, 14 + family.header_size + 45)
              for payload in (TCP(sport=9, dport=80) / Raw(bytes(60)), UDP(sport=9, dport=80) / Raw(bytes(60)))]
    before = drops(host, "malformed")
    a.send("eth0", *frames)
    assert a.ping(family.far).returncode == 0
    wan.expect(family.is_request)
    assert drops(host, "malformed") == before + len(frames)
    assert not wan.matching(lambda p: family.IP in p and p[family.IP].src == a.address_of(family))
    assert not wan.matching(lambda p: TCP in p or UDP in p)


def test_other_protocols_stay_inside(host, a, b, family):
    """GRE, ESP, SCTP and the like have no ports to translate: to neighbours yes, to the outside no."""
    host.sysctl(f"{family.conf}.conf.all.forwarding", "1")
    wan, neighbour = host.outside.capture("wan0"), b.capture("eth0")
    frame = Ether(src=a.info["mac"], dst=GATEWAY_MAC)
    protocols = (4, 47, 50, 132, 136)
    before = drops(host, "protocol")
    a.send("eth0", *[frame / family.ip(a.address_of(family), target, **{family.protocol: proto}) /
                     Raw(b"payload of a protocol") for target in (family.far, b.address_of(family))
                     for proto in protocols])
    assert a.ping(family.far).returncode == 0
    wan.expect(family.is_request)
    assert not wan.matching(lambda p: family.IP in p and getattr(p[family.IP], family.protocol) in protocols)
    assert drops(host, "protocol") == before + len(protocols)
    neighbour.expect(lambda p: family.IP in p and getattr(p[family.IP], family.protocol) in protocols,
                     count=len(protocols))


def test_other_ethertypes_stay_inside(host, a):
    """PPPoE, MPLS, LLDP: neither to the host's stack nor out."""
    device = host.capture("up0")
    types = (0x8847, 0x8864, 0x88cc, 0x0806 + 0x8000)
    before = drops(host, "ethertype")
    a.send("eth0", *[Ether(src=a.info["mac"], dst=GATEWAY_MAC, type=number) / Raw(bytes(60)) for number in types])
    assert a.ping(Family4.far).returncode == 0
    device.expect(Family4.is_request)
    assert drops(host, "ethertype") == before + len(types)
    assert not device.matching(lambda p: p[Ether].type in types)


def test_broadcast_is_dropped(host, a, b, family):
    """In a network without a bridge there is nobody who would copy it."""
    inside, before = b.capture("eth0"), drops(host, "multicast")
    frame = Ether(src=a.info["mac"], dst="ff:ff:ff:ff:ff:ff")
    a.send("eth0", *[frame / family.ip(a.address_of(family), target) / UDP(sport=9, dport=9) / Raw(b"everybody")
                     for target in family.groups])
    assert a.ping(b.address_of(family)).returncode == 0
    inside.expect(family.is_request)
    assert not inside.matching(lambda p: UDP in p)
    assert drops(host, "multicast") >= before + 3
