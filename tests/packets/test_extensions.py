# SPDX-License-Identifier: GPL-2.0-only
"""IPv6 extension headers: walked to what they precede, up to a limit, and kept byte for byte. (RFC 8200 section 4)"""
import itertools

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (HBHOptUnknown, IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, PadN, RouterAlert)
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import PASS, REDIRECT, SHOT
from flows import open_flow, renamed
from icmp import KINDS, Flow, message, run
from rig import expect, expect_untouched, l4_of, translated
from siblings import Family6
from topology import HOST_ADDRESS, OUTSIDE_FAR

pytestmark = pytest.mark.families(6)

HEADERS_MAX, BYTES_MAX = 8, 200
IP_END = 14 + 40
# by the letter that stands for them below
HEADERS = {
    "H": lambda: IPv6ExtHdrHopByHop(options=[RouterAlert(), HBHOptUnknown(otype=0x1e, optdata=b"kept")]),
    "D": lambda: IPv6ExtHdrDestOpt(options=[HBHOptUnknown(otype=0x1e, optdata=b"kept, too")]),
    "R": lambda: IPv6ExtHdrRouting(type=0, segleft=0, addresses=["2001:db8::1"]),
    "F": lambda: IPv6ExtHdrFragment(id=0x12345678),
}
ORDERS = ["H" * first + "".join(rest) for first in (0, 1) for count in range(4)
          for rest in itertools.permutations("DRF", count)]
L4 = {"tcp": lambda rig, s, d: TCP(sport=s, dport=d, flags="S", options=[("MSS", 1440)]),
      "udp": lambda rig, s, d: UDP(sport=s, dport=d) / Raw(b"question"),
      "ping": lambda rig, s, d: rig.family.ping(s | d) / Raw(b"ping")}
idents = itertools.count(0x70000000)
UNKNOWN = {"none": 59, "ah": 51, "esp": 50, "mobility": 135, "hip": 139, "shim6": 140, "experiment": 253}


def chain(packet, headers, payload):
    for header in headers:
        packet /= HEADERS[header]() if isinstance(header, str) else header
    return packet / payload


def kind(name):
    return "icmp" if name == "ping" else name


def padding(length):
    """A destination options header of so many bytes; no option is longer than 255."""
    return IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(length - 4))])


def dropped(rig, packet, *reasons):
    for destination in (OUTSIDE_FAR, HOST_ADDRESS, rig.b.address, rig.c.address):
        packet[IPv6].dst = rig.family.address(destination)
        with rig.dropped(*reasons):
            assert rig.from_endpoint(rig.a, packet)[0] == SHOT, destination


class TestWalked:
    @pytest.mark.parametrize("name", L4)
    @pytest.mark.parametrize("headers", ORDERS)
    def test_out_and_back(self, rig, headers, name):
        port = rig.port()
        packet = chain(rig.sent(rig.a, OUTSIDE_FAR), headers, L4[name](rig, port, 0 if name == "ping" else 53))
        with rig.dropped():
            verdict, out = rig.from_endpoint(rig.a, packet)
        l4 = l4_of(Ether(out))
        chosen = l4.id if name == "ping" else l4.sport
        expect((verdict, out), REDIRECT, translated(packet, src=HOST_ADDRESS, **renamed(kind(name), "sport", chosen)))
        back = rig.family.ping(chosen, answer=True) if name == "ping" else L4[name](rig, 53, chosen)
        answer = chain(rig.arrived(), headers, back)
        with rig.dropped():
            expect(rig.from_uplink(answer), REDIRECT, translated(
                answer, rig.to(rig.a), dst=rig.a.address, **renamed(kind(name), "dport", port)))

    @pytest.mark.parametrize("headers", ["H", "DRD", "HDRFD"])
    @pytest.mark.parametrize("way", ["exposed", "hairpin", "neighbour", "host"])
    def test_other_ways(self, rig, headers, way):
        node, address = {"exposed": (None, HOST_ADDRESS), "hairpin": (rig.b, HOST_ADDRESS),
                         "neighbour": (rig.b, rig.a.address), "host": (rig.b, HOST_ADDRESS)}[way]
        header = rig.sent(node, address) if node else rig.arrived(address)
        dport = 5999 if way == "host" else 5000
        packet = chain(header, headers, TCP(sport=rig.port(), dport=dport, flags="S"))
        with rig.dropped():
            result = run(rig, node, packet)
        if way == "host":
            expect_untouched(result, packet)
        elif way == "neighbour":
            expect(result, REDIRECT, translated(packet, rig.to(rig.a), ttl=0))
        else:
            ends = {"src": HOST_ADDRESS} if node else {}
            expect(result, REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address, **ends))

    def test_an_error_about_it(self, rig):
        """The quote begins with them."""
        port, host, far = rig.port(), rig.uplink.address, rig.family.address(OUTSIDE_FAR)

        def build(rig, sport, dport, answer):
            return chain(HEADERS["H"](), "DRF", UDP(sport=sport, dport=dport) / Raw(b"question"))
        flow = Flow(rig, build, rig.a, None, (rig.a.address, far, port, 53), (host, far, port, 53)).run()
        for kind in KINDS:
            given, wanted = flow.error(kind)
            expect(flow.report(given), REDIRECT, wanted)

    @pytest.mark.parametrize("headers", [[padding(8)] * HEADERS_MAX, [padding(BYTES_MAX)],
                                         [padding(24)] * (HEADERS_MAX - 1) + [padding(32)]])
    def test_as_many_as_may_be(self, rig, headers):
        packet = chain(rig.sent(rig.a, OUTSIDE_FAR), headers, UDP(sport=rig.port(), dport=53))
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
        packet = chain(rig.arrived(), headers, UDP(sport=rig.port(), dport=5001))
        expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(rig.a), dst=rig.a.address))


def routing(kind, left):
    return IPv6ExtHdrRouting(type=kind, segleft=left, addresses=["2001:db8::1"])


BAD = {
    "too many": [padding(8)] * (HEADERS_MAX + 1), "too long": [padding(BYTES_MAX + 8)],
    "too long in all": [padding(104)] * 2, "far too long": [padding(208)] * HEADERS_MAX,
    **{f"source route of type {kind}": [routing(kind, 1)] for kind in (0, 2, 3, 4, 253)},
    "source route of 255": [routing(4, 255)], "source route behind others": ["H", "D", routing(0, 1)],
    "hop-by-hop not first": ["D", "H"], "hop-by-hop twice": ["H", "H"], "fragment of a fragment": ["F", "F"],
}


@pytest.mark.parametrize("case", BAD)
class TestNotWalked:
    def test_from_an_endpoint(self, rig, case):
        for payload in (UDP(sport=rig.port(), dport=53), TCP(dport=5000, flags="S"), rig.family.ping(1)):
            dropped(rig, chain(rig.sent(rig.a, OUTSIDE_FAR), BAD[case], payload), "extension-header")

    def test_quoted(self, rig, case):
        """No connection can have sent it."""
        for node, about in ((None, rig.ip(HOST_ADDRESS, OUTSIDE_FAR)), (rig.a, rig.ip(OUTSIDE_FAR, rig.a.address))):
            header = rig.sent(node, OUTSIDE_FAR) if node else rig.arrived()
            quote = bytes(chain(about, BAD[case], UDP(sport=open_flow(rig, rig.a, "udp", rig.port()), dport=80)))
            packet = header / message(rig, "port unreachable", quote)
            with rig.dropped(*(["icmp-error"] if node else [])):
                assert run(rig, node, packet)[0] == (SHOT if node else PASS)

    def test_from_outside(self, rig, case):
        """The host's stack knows what to say of it."""
        for address in (HOST_ADDRESS, rig.a.address):
            for payload in (UDP(sport=rig.port(), dport=5001), TCP(sport=rig.port(), dport=5000, flags="S")):
                packet = chain(rig.arrived(address), BAD[case], payload)
                with rig.dropped():
                    expect_untouched(rig.from_uplink(packet), packet)


class TestUnknown:
    """What is behind them nobody can translate."""

    @pytest.mark.parametrize("headers", ["", "H", "DRF"])
    @pytest.mark.parametrize("name", UNKNOWN)
    def test_from_an_endpoint(self, rig, state, headers, name):
        before = state.usage()
        payload = Raw(bytes(UDP(sport=rig.port(), dport=53)) * 3)
        packet = chain(rig.sent(rig.a, OUTSIDE_FAR), headers, payload)
        packet.getlayer(len(headers) + 1).nh = UNKNOWN[name]
        with rig.dropped("protocol"):
            assert rig.from_endpoint(rig.a, packet)[0] == SHOT
        for destination in (HOST_ADDRESS, rig.b.address):
            packet[IPv6].dst = rig.family.address(destination)
            with rig.dropped():
                result = rig.from_endpoint(rig.a, packet)
            if destination == HOST_ADDRESS:
                expect_untouched(result, packet)
            else:
                expect(result, REDIRECT, translated(packet, rig.to(rig.b), ttl=0))
        assert state.usage() == before

    @pytest.mark.parametrize("name", UNKNOWN)
    def test_from_outside(self, rig, name):
        packet = chain(rig.arrived(), "D", Raw(bytes(UDP(sport=rig.port(), dport=5001)) * 3))
        packet[IPv6ExtHdrDestOpt].nh = UNKNOWN[name]
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)

    @pytest.mark.parametrize("number", [59, 47])
    def test_nothing_at_all(self, rig, number):
        """No next header, and no payload: a packet, if a useless one."""
        for destination, reasons, verdict in ((OUTSIDE_FAR, ["protocol"], SHOT), (HOST_ADDRESS, [], PASS),
                                              (rig.b.address, [], REDIRECT)):
            packet = rig.sent(rig.a, destination, proto=number)
            assert len(packet) == IP_END
            with rig.dropped(*reasons):
                assert rig.from_endpoint(rig.a, packet)[0] == verdict


class TestCutShort:
    """Anywhere within the headers, and within those of L4."""
    WHOLE = "HDRFD"

    def packets(self, rig, header, dport):
        whole = bytes(chain(header, self.WHOLE, UDP(sport=rig.port(), dport=dport)))
        for length in range(IP_END, len(whole)):
            said = bytearray(whole)
            said[18:20] = (length - IP_END).to_bytes(2, "big")
            yield whole[:length], bytes(said[:length]), bytes(said)

    def test_from_an_endpoint(self, rig):
        for cut, honest, trailer in self.packets(rig, rig.sent(rig.a, OUTSIDE_FAR), 53):
            with rig.dropped("malformed"):
                assert rig.from_endpoint(rig.a, cut)[0] == SHOT
            for packet in (honest, trailer):
                with rig.dropped("malformed", "extension-header"):
                    assert rig.from_endpoint(rig.a, packet)[0] == SHOT, len(honest)

    def test_from_outside(self, rig):
        for packets in self.packets(rig, rig.arrived(), 5001):
            for packet in packets:
                with rig.dropped():
                    expect_untouched(rig.from_uplink(packet), packet)

    def test_length_of_a_header_leads_behind_the_end(self, rig):
        for length in (2, 3, 24, 25, 200, 255):
            packet = chain(rig.sent(rig.a, OUTSIDE_FAR), [IPv6ExtHdrDestOpt(len=length)], UDP(sport=1, dport=53))
            dropped(rig, packet, "extension-header", "malformed")


class TestFragments:
    def test_atomic(self, rig):
        """RFC 6946: a datagram in one piece; it is the first one of nothing."""
        ident, port = 0xabcdef01, rig.port()
        packet = rig.sent(rig.a, OUTSIDE_FAR) / IPv6ExtHdrFragment(id=ident) / UDP(sport=port, dport=53) / Raw(b"x")
        expect(rig.from_endpoint(rig.a, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
        later = rig.sent(rig.a, OUTSIDE_FAR, frag=1, id=ident, proto=17) / Raw(bytes(8))
        assert rig.from_endpoint(rig.a, later)[0] == SHOT

    @pytest.mark.parametrize("before", ["", "H", "HDR"])
    @pytest.mark.parametrize("behind", ["", "D", "RD"])
    @pytest.mark.parametrize("name", L4)
    def test_headers_on_both_sides(self, rig, before, behind, name):
        """Those behind the fragment header are only in the first one (RFC 8200 4.5)."""
        ident, sport, dport = next(idents), rig.port(), 0 if name == "ping" else 53
        payload = L4[name](rig, sport, dport) / Raw(bytes(800))
        whole = chain(rig.sent(rig.a, OUTSIDE_FAR), behind, payload)
        verdict, out = rig.from_endpoint(rig.a, self.parts(whole, ident, before)[0])
        ends = {"id": l4_of(Ether(out)).id} if name == "ping" else {}
        wanted = self.parts(translated(whole, src=HOST_ADDRESS, **ends), ident, before)
        expect((verdict, out), REDIRECT, wanted[0])
        for part, want in list(zip(self.parts(whole, ident, before), wanted))[:0:-1]:
            with rig.dropped():
                expect(rig.from_endpoint(rig.a, part), REDIRECT, want)

    @staticmethod
    def parts(whole, ident, before="", number=None):
        """Of 504 bytes; what is in front of the fragment header is in all of them."""
        found = []
        for part in Family6.fragments(whole, ident, 504):
            fragment = part[IPv6ExtHdrFragment]
            if fragment.offset and number is not None:
                fragment.nh = number
            part[IPv6].remove_payload()
            del part[IPv6].nh, part[IPv6].plen
            found.append(Ether(bytes(chain(part, before, fragment))))
        return found

    @pytest.mark.parametrize("number", [17, 60, 59, 6, 0, 255])
    def test_later_ones_with_another_next_header(self, rig, number):
        """RFC 8200 4.5: that of the first one counts."""
        whole = chain(rig.sent(rig.a, OUTSIDE_FAR), "D", UDP(sport=rig.port(), dport=53) / Raw(bytes(1200)))
        ident = next(idents)
        wanted = self.parts(translated(whole, src=HOST_ADDRESS), ident, number=number)
        for part, want in zip(self.parts(whole, ident, number=number), wanted):
            with rig.dropped():
                expect(rig.from_endpoint(rig.a, part), REDIRECT, want)

    @pytest.mark.parametrize("length", [8, 16, 24])
    def test_first_one_without_all_headers(self, rig, length):
        """RFC 7112: the first fragment has the whole chain, ports and all."""
        whole = chain(rig.sent(rig.a, OUTSIDE_FAR), "DR", TCP(sport=rig.port(), dport=80, flags="S") / Raw(bytes(80)))
        first = Family6.fragments(whole, 77, length)[0]
        dropped(rig, first, "malformed", "extension-header")


def test_the_maps_agree(state):
    state.check()
