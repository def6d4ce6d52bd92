# SPDX-License-Identifier: GPL-2.0-only
"""Frames cut short and headers that lie: dropped, never sent out untranslated."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, SHOT
from icmp import message, opened
from rig import BAD_IP_HEADERS, expect_untouched
from topology import HOST_ADDRESS, OUTSIDE_FAR


def never_untranslated(rig, result):
    """Dropped, or gone out as the host's."""
    verdict, out = result
    assert verdict == SHOT or verdict == REDIRECT and Ether(out).payload.src == rig.uplink.address, (verdict, out.hex())
    return verdict


WHOLE = {"tcp": 20, "udp": 8, "icmp": 8}
BUILD = {"tcp": lambda rig: TCP(sport=rig.port(), dport=80, options=[("MSS", 1460)]) / Raw(bytes(80)),
         "udp": lambda rig: UDP(sport=rig.port(), dport=80) / Raw(bytes(80)),
         "icmp": lambda rig: rig.family.ping(rig.port()) / Raw(bytes(80))}


@pytest.mark.parametrize("name", BUILD)
class TestTruncated:
    """A test run takes no frame without a whole IP header: tests/e2e sends those."""

    def test_shorter_than_its_length_field(self, rig, name):
        packet, first = bytes(rig.sent(rig.a, OUTSIDE_FAR) / BUILD[name](rig)), 14 + rig.family.header_size
        for length in range(first, first + 45):
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, packet[:length])[0] == SHOT, length

    def test_length_field_says_so(self, rig, name):
        for length in range(0, 65):
            packet = rig.sent(rig.a, OUTSIDE_FAR, len=20 + length) / BUILD[name](rig)
            end = 14 + rig.family.header_size + length
            never_untranslated(rig, rig.from_endpoint(rig.a, bytes(packet)[:end]))

    def test_l4_header_is_in_the_trailer(self, rig, name):
        """What is behind the IP datagram's end is no L4 header, although the frame has the bytes."""
        for length in range(0, WHOLE[name]):
            packet = rig.sent(rig.a, OUTSIDE_FAR, len=20 + length) / BUILD[name](rig)
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, packet)[0] == SHOT, length


def test_bad_ip_header(rig):
    for dst in (OUTSIDE_FAR, HOST_ADDRESS, rig.b.address):
        for fields in BAD_IP_HEADERS[rig.family.number]:
            packet = rig.sent(rig.a, dst, **fields) / UDP(sport=1, dport=2) / Raw(b"12345678")
            packet.type = rig.family.ethertype
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, bytes(packet))[0] == SHOT, fields


# Of each family: the first byte of what an ICMP error quotes, if that is no header, or one that is too short or too long.
LIES = {4: (b"\x65", b"\x40", b"\x44", b"\x4f"), 6: (b"\x45", b"\x00", b"\x70")}


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
        flow = opened(rig, way, name, options=options)
        for size in range(rig.family.header_size + options + 8):
            self.about_nothing(flow, bytes(flow.error(size=size)[0]), "icmp-error")

    def test_frame_ends_within_it(self, rig, way):
        flow = opened(rig, way)
        error = bytes(flow.error()[0])
        for length in range(14 + rig.family.header_size, len(error)):
            self.about_nothing(flow, error[:length], "malformed")

    def test_its_header_lies(self, rig, way):
        flow = opened(rig, way)
        error, quote = flow.error()[0], bytes(flow.seen.payload)
        for lie in LIES[rig.family.number]:
            error.payload.remove_payload()
            error /= message(rig, "port unreachable", lie + quote[1:])
            self.about_nothing(flow, error, "icmp-error")
