# SPDX-License-Identifier: GPL-2.0-only
"""Networks that the outside knows (--mode routed): forwarded plainly, both ways, whatever it is."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw

from bpf import PASS, REDIRECT, SHOT
from flows import is_error, open_flow
from icmp import KINDS, forget_rates, message, run
from rig import expect, expect_untouched, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR

SMALL = 1300
# name: (fields of IP, what follows)
PACKETS = {
    "syn": ({}, lambda rig: TCP(sport=9, dport=80, flags="S", options=[("MSS", 1460)])),
    "mid-flow": ({}, lambda rig: TCP(sport=9, dport=80, flags="PA", seq=7, ack=9) / Raw(b"mid-flow")),
    "rst": ({}, lambda rig: TCP(sport=9, dport=80, flags="R")),
    "udp": ({"tos": 0xb9}, lambda rig: UDP(sport=9, dport=53) / Raw(b"odd")),
    "udp without checksum": ({}, lambda rig: UDP(sport=9, dport=53, chksum=0) / Raw(b"x")),
    "udp with a wrong one": ({}, lambda rig: UDP(sport=9, dport=53, chksum=0x1234) / Raw(b"x")),
    "ping": ({}, lambda rig: rig.family.ping(7) / Raw(b"x")),
    "pong": ({}, lambda rig: rig.family.ping(7, answer=True) / Raw(b"x")),
    "gre": ({"proto": 47}, lambda rig: Raw(bytes(range(40)))),
    "sctp": ({"proto": 132}, lambda rig: Raw(bytes(range(40)))),
    "esp": ({"proto": 50}, lambda rig: Raw(bytes(range(40)))),
    "options": ({"options": 24}, lambda rig: UDP(sport=9, dport=53) / Raw(b"x")),
    "first fragment": ({"flags": "MF", "id": 600}, lambda rig: UDP(sport=9, dport=53, len=800, chksum=7) / Raw(bytes(64))),
    "later fragment": ({"frag": 9, "id": 601, "proto": 17}, lambda rig: Raw(bytes(64))),
    "ttl 2": ({"ttl": 2}, lambda rig: UDP(sport=9, dport=53) / Raw(b"x")),
    "trailer": ({}, lambda rig: UDP(sport=9, dport=53) / Padding(b"trailer")),
    "full size": ({"flags": "DF"}, lambda rig: UDP(sport=9, dport=53) / Raw(bytes(1472 - 20))),
    "exposed port": ({}, lambda rig: TCP(sport=9, dport=5000, flags="S")),
}


@pytest.fixture(scope="module")
def routed(shared_rig):
    """An endpoint of such a network, its neighbour and one with a smaller MTU."""
    rig = shared_rig
    rig.host.nsbpf("network", "add", "routed", "--mode", "routed", "--subnet", "10.97.0.0/24", "--subnet6",
                   "2001:db8:97::/64")
    return [rig.add("r", "--network", "routed"), rig.add("s", "--network", "routed"),
            rig.add("small", "--network", "routed", "--mtu", SMALL)]


@pytest.fixture
def r(rig, routed):
    return routed[0]


@pytest.fixture(autouse=True)
def no_errors_yet(rig):
    forget_rates(rig)


@pytest.fixture
def unchanged(state):
    """No connection comes of it."""
    before = state.usage()
    yield
    assert state.usage() == before


@pytest.mark.parametrize("case", PACKETS)
@pytest.mark.usefixtures("unchanged")
class TestForwarded:
    def test_out(self, rig, r, case):
        fields, build = PACKETS[case]
        packet = rig.sent(r, OUTSIDE_FAR, **fields) / build(rig)
        for _ in range(2):
            with rig.dropped():
                expect(rig.from_endpoint(r, packet), REDIRECT, translated(packet))

    def test_in(self, rig, r, case):
        fields, build = PACKETS[case]
        packet = rig.arrived(r.address, **fields) / build(rig)
        for _ in range(2):
            with rig.dropped():
                expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(r)))


@pytest.mark.usefixtures("unchanged")
class TestIcmpErrors:
    """Of others, about packets that went through here: on they go, whole."""

    def test_forwarded(self, rig, r):
        for kind in KINDS:
            about = rig.ip(r.address, OUTSIDE_FAR) / UDP(sport=9, dport=53) / Raw(b"question")
            packet = rig.arrived(r.address, proto=rig.family.icmp) / message(rig, kind, bytes(about))
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(r)))
            about = rig.ip(OUTSIDE_FAR, r.address) / UDP(sport=53, dport=9) / Raw(b"answer")
            packet = rig.sent(r, OUTSIDE_FAR, proto=rig.family.icmp) / message(rig, kind, bytes(about))
            expect(rig.from_endpoint(r, packet), REDIRECT, translated(packet))

    def test_made_here_of_ttl(self, rig, r):
        packet = rig.sent(r, OUTSIDE_FAR, ttl=1) / UDP(sport=9, dport=53)
        with rig.dropped("ttl"):
            result = rig.from_endpoint(r, packet)
        is_error(rig, result, "ttl exceeded", packet, rig.to(r), r.gateway)
        packet = rig.arrived(r.address, ttl=1) / UDP(sport=9, dport=53)
        with rig.dropped("ttl"):
            result = rig.from_uplink(packet)
        is_error(rig, result, "ttl exceeded", packet, source=rig.uplink.address)

    def test_made_here_of_size(self, rig, routed):
        """By the route's MTU towards the outside, by the endpoint's towards it."""
        r, _, small = routed
        for node, mtu in ((r, 1500), (small, SMALL)):
            for length, passes in ((mtu, True), (mtu + 1, False)):
                udp = UDP(sport=9, dport=53) / Raw(bytes(length - rig.family.header_size - 8))
                packet = rig.arrived(node.address, flags="DF") / udp
                self.fits(rig, None, packet, passes, mtu, rig.to(node), rig.uplink.address)
                if node is r:
                    packet = rig.sent(r, OUTSIDE_FAR, flags="DF") / udp
                    self.fits(rig, r, packet, passes, mtu, rig.to(r), r.gateway)

    @staticmethod
    def fits(rig, node, packet, passes, mtu, ether, source):
        with rig.dropped(*([] if passes else ["too-big"])):
            result = run(rig, node, packet, summed=passes)
        if passes:
            return expect(result, REDIRECT, translated(packet, None if node else ether))
        is_error(rig, result, "too big", packet, ether if node else None, source)
        told = result[1][14 + rig.family.header_size + 4:][:4]
        assert int.from_bytes(told, "big") == mtu

    def test_gso_is_measured_by_its_segments(self, rig, r):
        largest = 1500 - rig.family.header_size - 20
        for make, node in ((rig.sent(r, OUTSIDE_FAR), r), (rig.arrived(r.address), None)):
            packet = make / TCP(sport=9, dport=80) / Raw(bytes(3000))
            with rig.dropped():
                assert run(rig, node, packet, gso_size=largest, gso_segs=3)[0] == REDIRECT
            with rig.dropped("too-big"):
                run(rig, node, packet, gso_size=largest + 1, gso_segs=3, summed=False)

    @pytest.mark.parametrize("route, reason, kind", [
        ("prohibit", "prohibited", "prohibited"), ("blackhole", "blackhole", None),
        ("unreachable", "unreachable", "host unreachable")])
    def test_made_here_of_a_route(self, rig, r, route, reason, kind):
        address = rig.family.address("192.0.2.200")
        rig.host.ip("route", "add", route, address)
        try:
            packet = rig.sent(r, address) / UDP(sport=9, dport=53)
            with rig.dropped(reason):
                result = rig.from_endpoint(r, packet)
            if kind:
                is_error(rig, result, kind, packet, rig.to(r), r.gateway)
            else:
                assert result[0] == SHOT
        finally:
            rig.host.ip("route", "del", address)


@pytest.mark.usefixtures("unchanged")
class TestNotForwarded:
    def udp(self):
        return UDP(sport=9, dport=53) / Raw(b"x")

    def test_to_an_isolated_network(self, rig, r):
        for node, target in ((r, rig.a), (r, rig.c), (rig.a, r), (rig.c, r)):
            with rig.dropped("isolated"):
                assert rig.from_endpoint(node, rig.sent(node, target.address) / self.udp())[0] == SHOT

    def test_from_outside_to_endpoints_of_other_networks(self, rig, r):
        for node in (rig.a, rig.c):
            packet = rig.arrived(node.address) / self.udp()
            with rig.dropped():
                expect_untouched(rig.from_uplink(packet), packet)

    def test_to_nobody(self, rig, r):
        packet = rig.arrived(r.address.rpartition("." if rig.family.number == 4 else ":")[0] +
                             (".99" if rig.family.number == 4 else ":99")) / self.udp()
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)
        packet = rig.sent(r, packet.payload.dst) / self.udp()
        with rig.dropped("no-endpoint"):
            assert rig.from_endpoint(r, packet)[0] == SHOT

    def test_with_an_endpoints_address_from_outside(self, rig, routed):
        r, s, _ = routed
        for node in (r, s, rig.a, rig.c):
            with rig.dropped("spoofed-ip"):
                assert rig.from_uplink(rig.arrived(r.address, src=node.address) / self.udp())[0] == SHOT

    def test_with_addresses_of_nobody_else(self, rig, r):
        """What the host's stack makes of its own address from outside is its own matter."""
        nobodys = {4: ("127.0.0.1", HOST_ADDRESS),
                   6: ("::1", HOST_ADDRESS, "ff02::5", "ff0e::5", "::", "fe80::77", "::ffff:192.0.2.7")}
        for source in nobodys[rig.family.number]:
            packet = rig.arrived(r.address, src=source) / self.udp()
            with rig.dropped():
                expect_untouched(rig.from_uplink(packet), packet)

    @pytest.mark.families(4)
    def test_from_a_group_or_from_nobody(self, rig, r):
        """RFC 1812 5.3.7"""
        for source in ("224.0.0.5", "255.255.255.255", "0.0.0.0"):
            packet = rig.arrived(r.address, src=source) / self.udp()
            with rig.dropped():
                expect_untouched(rig.from_uplink(packet), packet)

    def test_with_anothers_address_from_inside(self, rig, routed):
        r, s, _ = routed
        for source in (s.address, r.gateway, rig.a.address, OUTSIDE_FAR, HOST_ADDRESS):
            with rig.dropped("spoofed-ip"):
                assert rig.from_endpoint(r, rig.out(r) / rig.ip(source) / self.udp())[0] == SHOT

    def test_for_another_machines_mac(self, rig, r):
        packet = rig.arrived(r.address) / self.udp()
        packet.dst = "02:00:00:00:00:99"
        expect_untouched(rig.from_uplink(packet), packet)

    def test_malformed(self, rig, r):
        packet = bytes(rig.arrived(r.address) / self.udp())
        for length in range(14 + rig.family.header_size, len(packet)):
            expect_untouched(rig.from_uplink(packet[:length]), packet[:length])


class TestAsOthersDo:
    def test_between_neighbours(self, rig, routed):
        r, s, _ = routed
        packet = rig.sent(r, s.address, ttl=1) / UDP(sport=9, dport=53)
        expect(rig.from_endpoint(r, packet), REDIRECT, translated(packet, rig.to(s), ttl=0))

    def test_to_the_host(self, rig, r):
        for address in (HOST_ADDRESS, r.gateway):
            packet = rig.sent(r, address) / UDP(sport=9, dport=53)
            expect_untouched(rig.from_endpoint(r, packet), packet)

    def test_exposed_ports(self, rig, routed, r):
        exposed = 5600 + rig.family.number
        rig.host.nsbpf("expose", r.netns.name, f"{exposed}:80/tcp")
        port = rig.port()
        packet = rig.arrived() / TCP(sport=port, dport=exposed, flags="S")
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(r), dst=r.address, dport=80))
        back = rig.sent(r, OUTSIDE_FAR) / TCP(sport=80, dport=port, flags="SA")
        expect(rig.from_endpoint(r, back), REDIRECT, translated(back, src=HOST_ADDRESS, sport=exposed))
        # The same server by its own address, by another client's port: no connection's.
        packet = rig.arrived(r.address) / TCP(sport=rig.port(), dport=80, flags="S")
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(r)))
        back = rig.sent(r, OUTSIDE_FAR) / TCP(sport=80, dport=packet[TCP].sport, flags="SA")
        expect(rig.from_endpoint(r, back), REDIRECT, translated(back))

    def test_hairpin(self, rig, r):
        for client in (r, rig.b):
            port = rig.port()
            packet = rig.sent(client, HOST_ADDRESS) / TCP(sport=port, dport=5000, flags="S")
            verdict, out = rig.from_endpoint(client, packet)
            seen = Ether(out)
            expect((verdict, out), REDIRECT, translated(packet, rig.to(rig.a), src=seen.payload.src, dst=rig.a.address,
                                                        sport=seen[TCP].sport))
            back = rig.sent(rig.a, seen.payload.src) / TCP(sport=5000, dport=seen[TCP].sport, flags="SA")
            expect(rig.from_endpoint(rig.a, back), REDIRECT, translated(
                back, rig.to(client), src=HOST_ADDRESS, dst=client.address, dport=port))

    def test_nat_networks_go_on(self, rig, r):
        open_flow(rig, rig.a, "udp", rig.port())
        packet = rig.arrived() / UDP(sport=9, dport=rig.port())
        expect(rig.from_uplink(packet), PASS, packet)


@pytest.fixture(scope="module")
def halves(shared_rig):
    """Of the first the outside knows IPv4 only, of the second IPv6 only; of the third nsbpf was told that it knows both."""
    rig = shared_rig
    for name, *options in (("half4", "--subnet", "10.96.1.0/24"), ("half6", "--subnet6", "2001:db8:96:2::/64"),
                           ("off", "--masquerade", "off")):
        rig.host.nsbpf("network", "add", name, "--mode", "routed", *options)
    return {name: rig.add(name, "--network", name) for name in ("half4", "half6", "off")}


@pytest.mark.parametrize("name, families", [("half4", (4,)), ("half6", (6,)), ("off", (4, 6))])
def test_only_of_subnets_that_the_outside_knows(rig, halves, name, families):
    node = halves[name]
    packet = rig.sent(node, OUTSIDE_FAR) / UDP(sport=rig.port(), dport=53)
    answer = rig.arrived(node.address) / UDP(sport=53, dport=9)
    if rig.family.number in families:
        expect(rig.from_endpoint(node, packet), REDIRECT, translated(packet))
        expect(rig.from_uplink(answer), REDIRECT, translated(answer, rig.to(node)))
    else:
        expect(rig.from_endpoint(node, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
        expect_untouched(rig.from_uplink(answer), answer)


def test_the_maps_agree(state):
    state.check()
