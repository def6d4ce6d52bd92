# SPDX-License-Identifier: GPL-2.0-only
"""What comes in by the uplink: answers and exposed ports go to endpoints, strangers do not, the rest is the host's."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Padding, Raw

from bpf import PASS, REDIRECT, SHOT
from flows import is_error
from icmp import message
from rig import BAD_IP_HEADERS, SECOND_ADDRESS, expect, expect_untouched, l4, translated
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR

LISTED = "192.0.2.77"  # inside the --from of port 5200

# name: (IP fields, L4 and payload of a client's packet)
CLIENT = {
    "syn": ({}, lambda s, d: TCP(sport=s, dport=d, flags="S", options=[("MSS", 1460), ("SAckOK", b"")])),
    "syn with data": ({}, lambda s, d: TCP(sport=s, dport=d, flags="S") / Raw(b"fast open")),
    "syn with ecn": ({"tos": 2}, lambda s, d: TCP(sport=s, dport=d, flags="SEC")),
    "options": ({"options": 8}, lambda s, d: TCP(sport=s, dport=d, flags="S")),
    "dscp": ({"tos": 0xb8, "id": 99, "flags": "DF"}, lambda s, d: TCP(sport=s, dport=d, flags="S")),
    "ttl 2": ({"ttl": 2}, lambda s, d: TCP(sport=s, dport=d, flags="S")),
    "trailer": ({}, lambda s, d: TCP(sport=s, dport=d, flags="S") / Padding(bytes(6))),
}


class TestExposed:
    @pytest.mark.parametrize("case", CLIENT)
    def test_client_and_its_answer(self, rig, case):
        fields, build = CLIENT[case]
        port = rig.port()
        packet = rig.arrived(**fields) / build(port, 5000)
        with rig.dropped():
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))
        answer = rig.sent(rig.a, OUTSIDE_FAR, **fields) / TCP(sport=5000, dport=port, flags="SA")
        with rig.dropped():
            expect(rig.from_endpoint(rig.a, answer), REDIRECT, translated(answer, src=HOST_ADDRESS))

    @pytest.mark.parametrize("chksum", [None, 0])
    def test_udp(self, rig, chksum):
        port = rig.port()
        packet = rig.arrived() / UDP(sport=port, dport=5001, chksum=chksum) / Raw(b"x")
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))
        answer = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=5001, dport=port, chksum=chksum) / Raw(b"x")
        expect(rig.from_endpoint(rig.a, answer), REDIRECT, translated(answer, src=HOST_ADDRESS))

    @pytest.mark.parametrize("proto, address, asked, served, node", [
        ("tcp", HOST_ADDRESS, 6000, 7000, "a"), ("tcp", HOST_ADDRESS, 6004, 7004, "a"),
        ("tcp", SECOND_ADDRESS, 6010, 7010, "a"), ("tcp", SECOND_ADDRESS, 5000, 5000, "a"),
        ("tcp", HOST_ADDRESS, 5100, 5100, "a"), ("tcp", HOST_ADDRESS, 5400, 80, "b"),
        ("udp", HOST_ADDRESS, 5400, 80, "b")])
    def test_ranges_addresses_targets(self, rig, proto, address, asked, served, node):
        node, port = getattr(rig, node), rig.port()
        packet = rig.arrived(address) / l4(proto, port, asked) / Raw(b"ask")
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(node), dst=node.address, dport=served))
        answer = rig.sent(node, OUTSIDE_FAR) / l4(proto, served, port) / Raw(b"tell")
        expect(rig.from_endpoint(node, answer), REDIRECT, translated(answer, src=address, sport=asked))

    def test_a_clients_port_may_be_any(self, rig):
        """The client's port is kept, so it has nothing to do with the range of NAT ports."""
        for sport in (1, 53, 40000, 65535):
            packet = rig.arrived() / TCP(sport=sport, dport=5000, flags="S")
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))

    def test_only_for_some_sources(self, rig):
        packet = rig.arrived(src=LISTED) / TCP(sport=rig.port(), dport=5200, flags="S")
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))
        for stranger in (OUTSIDE_FAR, OUTSIDE_ADDRESS, "192.0.3.1", "192.0.1.255"):
            packet = rig.arrived(src=stranger) / TCP(sport=rig.port(), dport=5200, flags="S")
            with rig.dropped("source"):
                assert rig.from_uplink(packet)[0] == SHOT

    def test_ttl_1(self, rig):
        """Its sender is told so: test_icmp_answers.py."""
        packet = rig.arrived(ttl=1) / TCP(sport=rig.port(), dport=5000, flags="S")
        with rig.dropped("ttl"):
            result = rig.from_uplink(packet)
        is_error(rig, result, "ttl exceeded", packet)

    @pytest.mark.parametrize("flags", ["A", "PA", "FA", "R", "RA", "SA", "", "F", "FPU"])
    def test_mid_flow_without_connection_is_the_hosts(self, rig, flags):
        """It may be about a connection of the host's own that is older than the mapping; if not, the host says RST."""
        packet = rig.arrived() / TCP(sport=rig.port(), dport=5000, flags=flags)
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)

    @pytest.mark.parametrize("proto, address, port", [
        ("udp", HOST_ADDRESS, 5000), ("tcp", HOST_ADDRESS, 5001), ("tcp", HOST_ADDRESS, 5999),
        ("tcp", HOST_ADDRESS, 6011), ("tcp", SECOND_ADDRESS, 5100), ("tcp", HOST_ADDRESS, 5300),
        ("tcp", SECOND_ADDRESS, 5300), ("tcp", "127.0.0.1", 5300),
        ("tcp", "127.0.0.1", 5000), ("tcp", "198.51.100.77", 5000), ("udp", "198.51.100.255", 5001),
        ("udp", "224.0.0.1", 5001)])
    def test_not_what_is_exposed(self, rig, proto, address, port):
        packet = rig.arrived(address) / l4(proto, rig.port(), port)
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)

    def test_for_another_machines_mac(self, rig):
        """A promiscuous uplink sees the neighbours' packets as well: PACKET_OTHERHOST is nobody's here."""
        for mac in ("02:00:00:00:00:99", "ff:ff:ff:ff:ff:ff", "01:00:5e:00:00:01"):
            packet = rig.arrived() / UDP(sport=rig.port(), dport=5001) / Raw(b"x")
            packet[Ether].dst = mac
            expect_untouched(rig.from_uplink(packet), packet)


# The host's own, byte for byte: from the outside to HOST_ADDRESS.
OWN = {
    "tcp": lambda rig: TCP(sport=80, dport=40000, flags="SA"),
    "ssh": lambda rig: TCP(sport=50000, dport=22, flags="S"),
    "udp": lambda rig: UDP(sport=53, dport=40000) / Raw(b"x"),
    "udp checksum 0": lambda rig: UDP(sport=53, dport=40000, chksum=0) / Raw(b"x"),
    "udp bad checksum": lambda rig: UDP(sport=53, dport=40000, chksum=0x1234) / Raw(b"x"),
    "ping": lambda rig: rig.family.ping(7) / Raw(b"x"),
    "answer to a ping": lambda rig: rig.family.ping(60001, answer=True) / Raw(b"x"),
    "icmp error": lambda rig: message(rig, "too big", bytes(rig.ip(HOST_ADDRESS) / UDP(sport=9, dport=9))),
    "other icmp": lambda rig: message(rig, (rig.family.icmp_others[0], 0, 0), bytes(12)),
}


@pytest.mark.parametrize("case", OWN)
@pytest.mark.parametrize("fields", [{}, {"ttl": 1}, {"options": 8}, {"tos": 0xff}, {"chksum": 1}])
def test_the_hosts_own(rig, case, fields):
    if "icmp" in case:
        fields = {**fields, "proto": rig.family.icmp}
    packet = rig.arrived(**fields) / OWN[case](rig) / Padding(b"trailer")
    with rig.dropped():
        expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("proto", [0, 2, 4, 41, 47, 50, 51, 89, 112, 132, 136, 255])
def test_other_protocols_are_the_hosts(rig, proto):
    packet = rig.arrived(proto=proto) / Raw(bytes(40))
    expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("build", [
    lambda rig: ARP(op=1, psrc=OUTSIDE_ADDRESS, pdst=HOST_ADDRESS),
    lambda rig: ARP(op=1, psrc=OUTSIDE_ADDRESS, pdst=rig.a.address),
    lambda rig: Dot1Q(vlan=5) / rig.ip(OUTSIDE_FAR, HOST_ADDRESS) / TCP(sport=9, dport=5000, flags="S"),
    lambda rig: Dot1Q(vlan=5) / rig.ip(OUTSIDE_FAR, rig.a.address) / TCP(sport=9, dport=80, flags="S"),
    lambda rig: Dot1Q(vlan=0) / ARP(op=1, psrc=OUTSIDE_ADDRESS, pdst=HOST_ADDRESS),
], ids=["arp", "arp for an endpoint", "vlan", "vlan to an endpoint", "priority tag"])
def test_other_ethertypes_are_the_hosts(rig, build):
    packet = rig.wan() / build(rig)
    with rig.dropped():
        expect_untouched(rig.from_uplink(packet), packet)


@pytest.mark.parametrize("build", [
    lambda rig: TCP(sport=9, dport=80, flags="S"), lambda rig: TCP(sport=9, dport=5000, flags="S"),
    lambda rig: TCP(sport=9, dport=80, flags="A"), lambda rig: TCP(sport=9, dport=80, flags="R"),
    lambda rig: UDP(sport=9, dport=53), lambda rig: UDP(sport=9, dport=5001), lambda rig: rig.family.ping(1),
    lambda rig: rig.family.ping(1, answer=True), lambda rig: message(rig, "too big", bytes(28)),
    lambda rig: Raw(bytes(40))],
    ids=["syn", "syn to an exposed port", "ack", "rst", "udp", "udp to an exposed port", "ping", "pong", "icmp error",
         "gre"])
@pytest.mark.parametrize("source", [OUTSIDE_FAR, OUTSIDE_ADDRESS, "10.80.0.3", HOST_ADDRESS])
def test_straight_to_an_endpoint(rig, build, source):
    """A machine on the uplink's LAN that routes the subnet at us. If the host's stack forwards it, see to_endpoint."""
    for node in (rig.a, rig.c):
        payload = build(rig)
        fields = {"proto": 47} if isinstance(payload, Raw) else {}
        packet = rig.arrived(node.address, src=source, **fields) / payload
        expect_untouched(rig.from_uplink(packet), packet)


def test_straight_to_an_endpoint_that_talks_to_the_sender(rig):
    """A connection's answers come to the host's address. The same packet to the endpoint's own is no answer."""
    port = rig.port()
    packet = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=port, dport=53) / Raw(b"x")
    assert rig.from_endpoint(rig.a, packet)[0] == REDIRECT
    answer = rig.arrived(rig.a.address) / UDP(sport=53, dport=port) / Raw(b"x")
    expect_untouched(rig.from_uplink(answer), answer)


def test_an_endpoints_own_packets_from_outside(rig):
    """A stranger writes an endpoint's address as the source, so that the packet fits into a connection of its."""
    for dst, dport, node in ((OUTSIDE_FAR, 53, rig.b), (HOST_ADDRESS, 5001, rig.b), (HOST_ADDRESS, 5001, rig.a)):
        port = rig.port()
        packet = rig.sent(node, dst) / UDP(sport=port, dport=dport) / Raw(b"x")
        assert rig.from_endpoint(node, packet)[0] == REDIRECT
        forged = rig.arrived(dst, src=node.address) / UDP(sport=port, dport=dport) / Raw(b"forged")
        assert rig.from_uplink(forged)[0] in (PASS, SHOT), dst
        answer = rig.arrived(HOST_ADDRESS, src=rig.a.address) / UDP(sport=dport, dport=port) / Raw(b"forged")
        assert rig.from_uplink(answer)[0] in (PASS, SHOT), dst


def test_answer_with_ttl_1(rig):
    port = rig.port()
    packet = rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=port, dport=53) / Raw(b"x")
    assert rig.from_endpoint(rig.a, packet)[0] == REDIRECT
    answer = rig.arrived(ttl=1) / UDP(sport=53, dport=port) / Raw(b"x")
    with rig.dropped("ttl"):
        result = rig.from_uplink(answer)
    is_error(rig, result, "ttl exceeded", answer)


def test_whole_masqueraded_handshake(rig):
    """Three packets each way, with the sequence numbers and options of a real connection untouched."""
    port = rig.port()
    for direction, flags, fields in (("out", "S", {"seq": 100, "options": [("MSS", 1460)]}),
                                     ("in", "SA", {"seq": 900, "ack": 101, "options": [("MSS", 1400)]}),
                                     ("out", "A", {"seq": 101, "ack": 901}), ("in", "PA", {"seq": 901, "ack": 101}),
                                     ("out", "FA", {"seq": 101, "ack": 906}), ("in", "FA", {"seq": 906, "ack": 102}),
                                     ("out", "A", {"seq": 102, "ack": 907})):
        if direction == "out":
            packet = rig.sent(rig.a, OUTSIDE_FAR) / TCP(sport=port, dport=443, flags=flags, **fields)
            expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
        else:
            packet = rig.arrived() / TCP(sport=443, dport=port, flags=flags, **fields)
            packet /= Raw(b"hello") if flags == "PA" else Raw(b"")
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))


@pytest.mark.parametrize("build", [lambda port: TCP(sport=port, dport=5000, flags="S") / Raw(bytes(80)),
                                   lambda port: UDP(sport=port, dport=5001) / Raw(bytes(80))], ids=["tcp", "udp"])
class TestTruncated:
    def test_to_an_exposed_port(self, rig, build):
        """Not proven to be ours: the host's stack sees what it would have seen."""
        packet = bytes(rig.arrived() / build(rig.port()))
        for length in range(14 + rig.family.header_size, 14 + 65):
            with rig.dropped():
                expect_untouched(rig.from_uplink(packet[:length]), packet[:length])

    def test_to_an_exposed_port_and_the_length_field_says_so(self, rig, build):
        for length in range(0, 65):
            packet = rig.arrived(len=20 + length) / build(rig.port())
            packet = bytes(packet)[:14 + rig.family.header_size + length]
            verdict, out = rig.from_uplink(packet)
            assert (verdict, out) == (PASS, packet) or \
                   (verdict, Ether(out).payload.dst) == (REDIRECT, rig.a.address), length

    def test_to_an_endpoint(self, rig, build):
        packet = bytes(rig.arrived(rig.a.address) / build(rig.port()))
        for length in range(14 + rig.family.header_size, 14 + 65):
            assert rig.from_uplink(packet[:length])[0] in (PASS, SHOT), length


def test_bad_ip_header(rig):
    for fields in BAD_IP_HEADERS[rig.family.number]:
        packet = rig.arrived(**fields) / UDP(sport=1, dport=5001) / Raw(b"12345678")
        packet.type = rig.family.ethertype
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)
