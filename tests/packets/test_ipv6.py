# SPDX-License-Identifier: GPL-2.0-only
"""What the IPv6 header has and IPv4's has not, and the other way round; extension headers: test_extensions.py."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import HBHOptUnknown, ICMPv6ND_NS, IPv6, IPv6ExtHdrHopByHop, Jumbo
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw

from bpf import PASS, REDIRECT, SHOT
from flows import PROTOS, answer, open_flow
from icmp import open_networks, opened, run
from rig import expect, expect_untouched, l4_of, translated
from siblings import FAMILIES
from topology import HOST_ADDRESS, OUTSIDE_FAR

pytestmark = pytest.mark.families(6)

LABELS = [(0, 0xfffff), (0xff, 0), (0xb9, 0x12345), (0x01, 0xabcde), (0x10, 0x80000)]


@pytest.mark.parametrize("tc, fl", LABELS)
class TestFlowLabelAndTrafficClass:
    """Are the ends' (RFC 6437): kept, whatever is translated beside them."""

    def labelled(self, packet, tc, fl):
        packet.payload.tc, packet.payload.fl = tc, fl
        return packet

    def test_masqueraded_and_back(self, rig, tc, fl):
        port = rig.port()
        packet = self.labelled(rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=port, dport=53), tc, fl)
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
        packet = self.labelled(rig.arrived() / UDP(sport=53, dport=port), tc, fl)
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))

    def test_to_a_neighbour_and_another_network(self, rig, tc, fl):
        packet = self.labelled(rig.sent(rig.a, rig.b.address) / UDP(sport=9, dport=53), tc, fl)
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, rig.to(rig.b), ttl=0))
        packet = self.labelled(rig.sent(rig.a, rig.c.address) / UDP(sport=9, dport=53), tc, fl)
        with open_networks(rig):
            expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, rig.to(rig.c)))

    def test_of_an_error_and_its_quote(self, rig, tc, fl):
        def label(ip):
            ip.tc, ip.fl = tc, fl
        for way in ("masquerade", "exposed", "hairpin"):
            flow = opened(rig, way)
            given, wanted = flow.error(edit=label)
            expect(flow.report(self.labelled(given, tc, fl)), REDIRECT, self.labelled(wanted, tc, fl))


@pytest.mark.parametrize("proto", PROTOS)
def test_one_nat_port_is_of_one_family(rig, state, proto):
    """Both have all ports: bindings of one are nothing to the other."""
    port, chosen = rig.port(), {}
    for family in rig.both():
        chosen[family] = open_flow(rig, rig.a, proto, port)
    assert proto == "icmp" or set(chosen.values()) == {port}
    for family in rig.both():
        assert state.nat_port(proto, chosen[family]).users == 1
        answer(rig, rig.a, proto, port, chosen[family])
        assert rig.end_connection(state.key(rig.a.address, OUTSIDE_FAR, port, 0 if proto == "icmp" else 80, proto)) == 0
        assert state.nat_port(proto, chosen[family]).users == 0
    state.check()


@pytest.mark.parametrize("way", ["masquerade", "exposed", "exposed elsewhere", "hairpin", "hairpin elsewhere"])
@pytest.mark.parametrize("answer", [False, True])
def test_udp_without_checksum(rig, way, answer):
    """RFC 8200 8.1 has its receiver drop it, but for tunnels (RFC 6935), and middleboxes leave that to it (RFC 6936 4)."""
    flow = opened(rig, way, "udp without checksum", answer)
    assert l4_of(Ether(run(rig, flow.sender, flow.sent)[1])).chksum == 0


class TestPayloadLength:
    def test_0(self, rig):
        """RFC 2675: then a jumbogram's is in a hop-by-hop option. No Ethernet has frames for one."""
        for destination in (OUTSIDE_FAR, HOST_ADDRESS, rig.b.address):
            packet = rig.sent(rig.a, destination) / UDP(sport=9, dport=53) / Raw(b"x" * 8)
            packet.payload.plen = 0
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, packet)[0] == SHOT
        option = IPv6ExtHdrHopByHop(options=[Jumbo(jumboplen=70000)])
        jumbo = rig.sent(rig.a, OUTSIDE_FAR) / option / UDP() / Raw(bytes(64))
        jumbo.payload.plen = 0
        with rig.dropped("malformed", "extension-header"):
            assert rig.from_endpoint(rig.a, jumbo)[0] == SHOT

    @pytest.mark.parametrize("proto", ["tcp", "udp", "ping"])
    def test_any(self, rig, proto):
        """Beyond the frame, within the L4 header, and with a trailer behind: whose bytes are nobody's."""
        l4 = {"tcp": TCP(sport=rig.port(), dport=80), "udp": UDP(sport=rig.port(), dport=80),
              "ping": rig.family.ping(rig.port())}[proto]
        whole = rig.sent(rig.a, OUTSIDE_FAR) / l4 / Raw(b"0123456789")
        length, header = len(whole.payload) - 40, {"tcp": 20, "udp": 8, "ping": 8}[proto]
        for said in (*range(length + 6), 1000, 0xffff):
            packet = whole.copy()
            packet.payload.plen = said
            if said < header or said > length:
                with rig.dropped("malformed"):
                    assert rig.from_endpoint(rig.a, packet)[0] == SHOT, said
            else:
                with rig.dropped():
                    verdict, out = rig.from_endpoint(rig.a, packet)
                assert verdict == REDIRECT and out[14 + 4:14 + 6] == said.to_bytes(2, "big")
                assert out[14 + 40 + said:] == bytes(packet)[14 + 40 + said:]

    def test_trailer(self, rig):
        for length in (1, 2, 3, 46):
            port = rig.port()
            packet = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=port, dport=53) / Raw(b"odd") / Padding(b"\xff" * length)
            expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
            packet = rig.arrived() / UDP(sport=53, dport=port) / Raw(b"odd") / Padding(b"\xff" * length)
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))


def test_exposed_port_of_an_endpoint_without_ipv6(rig):
    """Of IPv6 it is the host's."""
    node = rig.add("four", "--mtu", "1000")
    assert 6 not in node.addresses
    rig.host.nsbpf("expose", node.netns.name, "5700/both")
    for l4 in (TCP(sport=rig.port(), dport=5700, flags="S"), UDP(sport=rig.port(), dport=5700)):
        for source, packet in ((None, rig.arrived() / l4), (rig.b, rig.sent(rig.b, HOST_ADDRESS) / l4)):
            with rig.dropped():
                expect_untouched(run(rig, source, packet), packet)
        rig.family = FAMILIES[4]
        packet = rig.arrived() / l4
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(node), dst=node.address))
        rig.family = FAMILIES[6]


@pytest.mark.parametrize("hops", [0, 1, 2, 64, 255])
def test_hop_limit(rig, hops):
    """One less for each router: not between neighbours, not to the host."""
    packet = rig.sent(rig.a, rig.b.address, ttl=hops) / UDP(sport=9, dport=53)
    expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, rig.to(rig.b), ttl=0))
    packet = rig.sent(rig.a, HOST_ADDRESS, ttl=hops) / UDP(sport=9, dport=53)
    expect_untouched(rig.from_endpoint(rig.a, packet), packet)
    packet = rig.sent(rig.a, OUTSIDE_FAR, ttl=hops) / UDP(sport=rig.port(), dport=53)
    if hops > 1:
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))


def test_ethertype_and_version_must_agree(rig):
    """An IPv6 header behind IPv4's ethertype, and the other way round: neither is parsed as what it is not."""
    udp = UDP(sport=9, dport=5001) / Raw(bytes(40))
    for ethertype, family in ((0x800, 6), (0x86dd, 4)):
        for rig.family in (found for found in rig.both() if found.number == family):
            packet = bytearray(bytes(rig.sent(rig.a, OUTSIDE_FAR) / udp))
            packet[12:14] = ethertype.to_bytes(2, "big")
            with rig.dropped("malformed", "spoofed-ip", "martian"):
                assert rig.from_endpoint(rig.a, packet)[0] == SHOT
            packet = bytearray(bytes(rig.arrived() / udp))
            packet[12:14] = ethertype.to_bytes(2, "big")
            assert rig.from_uplink(packet) == (PASS, bytes(packet))


def test_hop_by_hop_options_before_an_echo_to_the_host(rig):
    """What the host's stack is to decide about, it decides: an option with "discard, and tell", for instance."""
    option = IPv6ExtHdrHopByHop(options=[HBHOptUnknown(otype=0x9e, optdata=b"x")])
    for destination in (HOST_ADDRESS, rig.a.gateway):
        packet = rig.sent(rig.a, destination) / option / rig.family.ping(1)
        with rig.dropped():
            expect_untouched(rig.from_endpoint(rig.a, packet), packet)


def test_the_hosts_neighbour_discovery(rig):
    """Its neighbour entry is permanent; if somebody deletes it, the namespace answers like any machine."""
    packet = rig.to(rig.a) / IPv6(src=rig.a.gateway, dst=rig.a.address, hlim=255) / ICMPv6ND_NS(tgt=rig.a.address)
    with rig.dropped():
        expect_untouched(rig.to_endpoint(rig.a, packet), packet)
