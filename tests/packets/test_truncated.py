# SPDX-License-Identifier: GPL-2.0-only
"""Frames cut short and headers that lie: dropped, never sent out untranslated."""
import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP, IPOption_NOP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, SHOT
from icmp import PORT_UNREACHABLE, message, opened
from rig import BAD_IP_HEADERS, expect_untouched
from topology import HOST_ADDRESS, OUTSIDE_FAR


def never_untranslated(rig, result):
    """Dropped, or gone out as the host's."""
    verdict, out = result
    assert verdict == SHOT or verdict == REDIRECT and Ether(out)[IP].src == HOST_ADDRESS, (verdict, out.hex())
    return verdict


@pytest.mark.parametrize("build", [lambda port: TCP(sport=port, dport=80, options=[("MSS", 1460)]) / Raw(bytes(80)),
                                   lambda port: UDP(sport=port, dport=80) / Raw(bytes(80)),
                                   lambda port: ICMP(id=port) / Raw(bytes(80))], ids=["tcp", "udp", "icmp"])
class TestTruncated:
    """A test run takes no frame without a whole IP header: tests/e2e sends those."""

    def test_shorter_than_its_length_field(self, rig, build):
        packet = bytes(rig.sent(rig.a, OUTSIDE_FAR) / build(rig.port()))
        for length in range(34, 14 + 65):
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, packet[:length])[0] == SHOT, length

    def test_length_field_says_so(self, rig, build):
        port = rig.port()
        for length in range(0, 65):
            packet = rig.sent(rig.a, OUTSIDE_FAR, len=20 + length) / build(port)
            never_untranslated(rig, rig.from_endpoint(rig.a, bytes(packet)[:34 + length]))

    def test_l4_header_is_in_the_trailer(self, rig, build):
        """What is behind the IP datagram's end is no L4 header, although the frame has the bytes."""
        whole = {TCP: 20, UDP: 8, ICMP: 8}[type(build(1))]
        for length in range(0, whole):
            packet = rig.sent(rig.a, OUTSIDE_FAR, len=20 + length) / build(rig.port())
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, packet)[0] == SHOT, length


@pytest.mark.parametrize("fields", BAD_IP_HEADERS)
def test_bad_ip_header(rig, fields):
    for dst in (OUTSIDE_FAR, HOST_ADDRESS, rig.b.address):
        packet = rig.sent(rig.a, dst, **fields) / UDP(sport=1, dport=2) / Raw(b"12345678")
        packet[Ether].type = 0x0800
        with rig.dropped("malformed"):
            assert rig.from_endpoint(rig.a, bytes(packet))[0] == SHOT


# name: the first byte of what an ICMP error quotes, if that is no IPv4 header
LIES = {"no ipv4": b"\x65", "no header": b"\x40", "header too short": b"\x44", "header longer than the quote": b"\x4f"}


@pytest.mark.parametrize("way", ["masquerade", "exposed"])
class TestQuote:
    """Of an ICMP error, from outside and from an endpoint: what can't be read is about no connection."""

    def about_nothing(self, flow, error, *reasons):
        if flow.receiver:
            with flow.rig.dropped(*reasons):
                assert flow.report(error)[0] == SHOT
        else:
            with flow.rig.dropped():
                expect_untouched(flow.report(error), error)

    @pytest.mark.parametrize("options", [0, 4, 40])
    @pytest.mark.parametrize("name", ["tcp", "udp"])
    def test_ends_within_its_headers(self, rig, way, name, options):
        """RFC 792 asks for 8 bytes behind the IP header: without them there are no ports, or no whole ones."""
        flow = opened(rig, way, name, options=[IPOption_NOP()] * options)
        for size in range(20 + options + 8):
            self.about_nothing(flow, bytes(flow.error(size=size)[0]), "icmp-error")

    def test_frame_ends_within_it(self, rig, way):
        flow = opened(rig, way)
        error = bytes(flow.error()[0])
        for length in range(34, len(error)):
            self.about_nothing(flow, error[:length], "malformed")

    @pytest.mark.parametrize("lie", LIES)
    def test_its_header_lies(self, rig, way, lie):
        flow = opened(rig, way)
        error, quote = flow.error()[0], bytes(flow.seen[IP])
        error[IP].remove_payload()
        self.about_nothing(flow, error / message(PORT_UNREACHABLE, LIES[lie] + quote[1:]), "icmp-error")
