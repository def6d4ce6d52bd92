# SPDX-License-Identifier: GPL-2.0-only
"""Neighbour discovery of an endpoint: answered for the gateway and the neighbours, never believed. (IPv4: test_arp.py)"""
import socket

import pytest
from scapy.layers.inet6 import (ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_Redirect, ICMPv6ND_RS,
                                ICMPv6NDOptDstLLAddr, ICMPv6NDOptPrefixInfo, ICMPv6NDOptSrcLLAddr, ICMPv6NDOptUnknown,
                                IPv6, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop, RouterAlert)
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Padding, Raw
from scapy.utils6 import in6_getnsma, in6_getnsmac

from bpf import REDIRECT, SHOT
from rig import GATEWAY_MAC, expect
from topology import HOST_ADDRESS6, OUTSIDE_FAR6, OUTSIDE_LINK_LOCAL

pytestmark = pytest.mark.families(6)

LINK_LOCAL = "fe80::6e:aff:fe50:2"
ALL_NODES, ALL_ROUTERS, REPORTS = "ff02::1", "ff02::2", "ff02::16"
ETHERNET, HEADER, SOLICITATION = 14, 40, 24
TARGETS = {"gateway": lambda rig: rig.a.gateway, "neighbour": lambda rig: rig.b.address}
SOURCES = {"its address": lambda rig: rig.a.address, "its link-local address": lambda rig: LINK_LOCAL}
OPTIONS = {
    "none": lambda rig: NoPayload(), "its MAC": lambda rig: ICMPv6NDOptSrcLLAddr(lladdr=rig.a.mac),
    "nonce": lambda rig: ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce!"),
    "both": lambda rig: ICMPv6NDOptSrcLLAddr(lladdr=rig.a.mac) / ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce!"),
    "a long one": lambda rig: ICMPv6NDOptUnknown(type=200, len=5, data=bytes(38)),
}


def solicited(target):
    """The multicast address that is asked for this one."""
    return socket.inet_ntop(socket.AF_INET6, in6_getnsma(socket.inet_pton(socket.AF_INET6, target)))


def ask(rig, target, source=None, option=None, dst=None, ether=None, hlim=255, **fields):
    """A neighbour solicitation, with its sender's MAC if not told otherwise."""
    option = ICMPv6NDOptSrcLLAddr(lladdr=rig.a.mac) if option is None else option
    dst = dst or solicited(target)
    ether = ether or Ether(src=rig.a.mac, dst=in6_getnsmac(in6_getnsma(socket.inet_pton(socket.AF_INET6, target))))
    packet = ether / IPv6(src=source or rig.a.address, dst=dst, hlim=hlim) / ICMPv6ND_NS(tgt=target, **fields)
    return packet if isinstance(option, NoPayload) else packet / option


def told(rig, target, to=None):
    """The advertisement that answers it; `to` all nodes if it was a probe."""
    flags = {"R": int(target == rig.a.gateway), "S": int(to != ALL_NODES), "O": 1}
    return (rig.to(rig.a) / IPv6(src=target, dst=to or rig.a.address, hlim=255) /
            ICMPv6ND_NA(tgt=target, **flags) / ICMPv6NDOptDstLLAddr(lladdr=GATEWAY_MAC))


def swallowed(rig, packet):
    """It goes nowhere, and nothing is wrong with it."""
    with rig.dropped():
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT


def dropped(rig, packet, *reasons):
    with rig.dropped(*reasons):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT


class TestAnswered:
    @pytest.mark.parametrize("target", TARGETS)
    @pytest.mark.parametrize("source", SOURCES)
    @pytest.mark.parametrize("option", OPTIONS)
    @pytest.mark.parametrize("trailer", [b"", b"trailer"])
    def test_for_gateway_and_neighbour(self, rig, target, source, option, trailer):
        target, source = TARGETS[target](rig), SOURCES[source](rig)
        request = ask(rig, target, source, OPTIONS[option](rig)) / Padding(trailer)
        answer = told(rig, target, source)
        with rig.dropped():
            result = rig.from_endpoint(rig.a, request, summed=len(request) == len(answer))
        expect(result, REDIRECT, answer)

    @pytest.mark.parametrize("target", TARGETS)
    def test_when_asked_by_unicast(self, rig, target):
        """Is it still there? (RFC 4861 7.3.3)"""
        target = TARGETS[target](rig)
        expect(rig.from_endpoint(rig.a, ask(rig, target, dst=target, ether=rig.out(rig.a))), REDIRECT, told(rig, target))

    @pytest.mark.parametrize("target", TARGETS)
    @pytest.mark.parametrize("option", ["none", "nonce"])
    def test_probe_for_a_taken_address(self, rig, target, option):
        """RFC 4862 5.4.3: nobody has the address that asks, so all nodes are told, by a frame to the one that there is."""
        target = TARGETS[target](rig)
        request, answer = ask(rig, target, "::", OPTIONS[option](rig)), told(rig, target, ALL_NODES)
        with rig.dropped():
            expect(rig.from_endpoint(rig.a, request, summed=len(request) == len(answer)), REDIRECT, answer)

    def test_behind_an_extension_header(self, rig):
        """What no stack sends."""
        request = ask(rig, rig.a.gateway)
        nd = request[ICMPv6ND_NS]
        request = Ether(src=request.src, dst=request.dst) / IPv6(src=rig.a.address, dst=request[IPv6].dst, hlim=255) / \
            IPv6ExtHdrDestOpt() / nd
        dropped(rig, request, "malformed")

    def test_reserved_bits_and_traffic_class_are_ignored(self, rig):
        """RFC 4861 4.3: by the receiver."""
        request = ask(rig, rig.a.gateway, res=0xffffffff)
        request[IPv6].tc, request[IPv6].fl = 0xb8, 0x12345
        expect(rig.from_endpoint(rig.a, request), REDIRECT, told(rig, rig.a.gateway))


@pytest.mark.parametrize("target", ["its own", "nobody's", "the host's", "another network's", "another's gateway",
                                    "the outside's", "a router's", "loopback", "any"])
def test_not_answered(rig, target):
    target = {"its own": rig.a.address, "nobody's": rig.family.address("10.80.77.77"), "the host's": HOST_ADDRESS6,
              "another network's": rig.c.address, "another's gateway": rig.c.gateway, "the outside's": OUTSIDE_FAR6,
              "a router's": OUTSIDE_LINK_LOCAL, "loopback": "::1", "any": "::"}[target]
    dropped(rig, ask(rig, target), "no-endpoint")
    swallowed(rig, ask(rig, target, "::", NoPayload()))  # a probe in vain is as it should be


class TestSwallowed:
    """What every Linux sends by itself and nobody needs here: no drop that anybody should look into."""

    def test_probe_for_its_own_address(self, rig):
        for address in (rig.a.address, LINK_LOCAL):
            swallowed(rig, ask(rig, address, "::", NoPayload()))
            swallowed(rig, ask(rig, address, "::", OPTIONS["nonce"](rig)))

    @pytest.mark.parametrize("source", [LINK_LOCAL, "::"])
    def test_router_solicitation(self, rig, source):
        packet = Ether(src=rig.a.mac, dst="33:33:00:00:00:02") / IPv6(src=source, dst=ALL_ROUTERS, hlim=255)
        swallowed(rig, packet / ICMPv6ND_RS())
        if source != "::":
            swallowed(rig, packet / ICMPv6ND_RS() / ICMPv6NDOptSrcLLAddr(lladdr=rig.a.mac))

    @pytest.mark.parametrize("source", [LINK_LOCAL, "::"])
    def test_multicast_report(self, rig, source):
        packet = Ether(src=rig.a.mac, dst="33:33:00:00:00:16") / IPv6(src=source, dst=REPORTS, hlim=1)
        swallowed(rig, packet / IPv6ExtHdrHopByHop(options=[RouterAlert()]) / ICMPv6MLReport2())

    @pytest.mark.parametrize("dst", [ALL_NODES, "gateway"])
    def test_its_own_advertisement(self, rig, dst):
        dst = rig.a.gateway if dst == "gateway" else dst
        for address in (rig.a.address, LINK_LOCAL):
            swallowed(rig, rig.out(rig.a) / IPv6(src=address, dst=dst, hlim=255) / ICMPv6ND_NA(tgt=address, R=0) /
                      ICMPv6NDOptDstLLAddr(lladdr=rig.a.mac))


class TestSpoofed:
    @pytest.mark.parametrize("source", ["neighbour", "gateway", "host", "outside", "elsewhere"])
    def test_as_another_one(self, rig, source):
        source = {"neighbour": rig.b.address, "gateway": rig.a.gateway, "host": HOST_ADDRESS6, "outside": OUTSIDE_FAR6,
                  "elsewhere": rig.c.address}[source]
        for target in (rig.a.gateway, rig.b.address, rig.a.address):
            dropped(rig, ask(rig, target, source), "spoofed-nd")

    @pytest.mark.parametrize("mac", [GATEWAY_MAC, "02:00:00:00:00:01", "ff:ff:ff:ff:ff:ff"])
    @pytest.mark.parametrize("source", SOURCES)
    def test_with_anothers_mac_inside(self, rig, mac, source):
        for first in (NoPayload(), ICMPv6NDOptUnknown(type=14, len=1, data=b"nonce!")):
            option = ICMPv6NDOptSrcLLAddr(lladdr=mac)
            option = option if isinstance(first, NoPayload) else first / option
            dropped(rig, ask(rig, rig.a.gateway, SOURCES[source](rig), option), "spoofed-nd")

    def test_with_anothers_mac_outside(self, rig):
        dropped(rig, ask(rig, rig.a.gateway, ether=Ether(src=rig.b.mac, dst=GATEWAY_MAC)), "spoofed-mac")

    @pytest.mark.parametrize("whose", ["neighbour", "gateway", "host", "outside"])
    @pytest.mark.parametrize("flags", [{"R": 0, "S": 0, "O": 1}, {"R": 1, "S": 1, "O": 1}])
    def test_anothers_advertisement(self, rig, whose, flags):
        target = {"neighbour": rig.b.address, "gateway": rig.a.gateway, "host": HOST_ADDRESS6,
                  "outside": OUTSIDE_FAR6}[whose]
        for source in (rig.a.address, LINK_LOCAL, target):
            packet = rig.out(rig.a) / IPv6(src=source, dst=ALL_NODES, hlim=255) / ICMPv6ND_NA(tgt=target, **flags)
            dropped(rig, packet / ICMPv6NDOptDstLLAddr(lladdr=rig.a.mac), "spoofed-nd")

    @pytest.mark.parametrize("dst", [ALL_NODES, "gateway", "neighbour", "host", "outside"])
    @pytest.mark.parametrize("source", [LINK_LOCAL, "own", "gateway"])
    def test_as_a_router(self, rig, dst, source):
        """Whoever believed it would send everything to it."""
        dst = {"gateway": rig.a.gateway, "neighbour": rig.b.address, "host": HOST_ADDRESS6,
               "outside": OUTSIDE_FAR6}.get(dst, dst)
        source = {"own": rig.a.address, "gateway": rig.a.gateway}.get(source, source)
        for hlim in (255, 64):
            header = rig.out(rig.a) / IPv6(src=source, dst=dst, hlim=hlim)
            dropped(rig, header / ICMPv6ND_RA() / ICMPv6NDOptPrefixInfo(prefix="2001:db8:bad::"), "spoofed-nd")
            dropped(rig, header / ICMPv6ND_Redirect(tgt=rig.b.address, dst=OUTSIDE_FAR6), "spoofed-nd")


class TestMalformed:
    @pytest.mark.parametrize("hlim", [0, 1, 64, 254])
    def test_forwarded(self, rig, hlim):
        """RFC 4861 7.1.1: 255 proves that no router had it."""
        dropped(rig, ask(rig, rig.a.gateway, hlim=hlim), "malformed")
        advertisement = IPv6(src=rig.a.address, dst=ALL_NODES, hlim=hlim) / ICMPv6ND_NA(tgt=rig.a.address)
        dropped(rig, rig.out(rig.a) / advertisement, "malformed")

    def test_code(self, rig):
        dropped(rig, ask(rig, rig.a.gateway, code=1), "malformed")

    def test_wrong_checksum(self, rig):
        """Every byte of it counts."""
        whole = bytearray(bytes(ask(rig, rig.a.gateway)))
        ports = range(ETHERNET + HEADER + 2, len(whole))
        target, option = range(ETHERNET + HEADER + 8, ETHERNET + HEADER + 24), range(len(whole) - 8, len(whole))
        for offset in set(ports) - set(target) - set(option):
            whole[offset] ^= 1
            dropped(rig, whole, "checksum")
            whole[offset] ^= 1
        dropped(rig, ask(rig, rig.a.gateway, cksum=0), "checksum")

    def test_multicast_target(self, rig):
        for target in (ALL_NODES, "ff0e::1"):
            dropped(rig, ask(rig, target, dst=solicited(rig.a.gateway)), "malformed")

    def test_probe_that_tells_a_mac(self, rig):
        """RFC 4861 7.1.1: nobody has an address yet to tell it of."""
        dropped(rig, ask(rig, rig.b.address, "::"), "malformed")

    def test_probe_by_unicast(self, rig):
        dropped(rig, ask(rig, rig.b.address, "::", NoPayload(), dst=rig.b.address), "malformed")

    @pytest.mark.parametrize("options", [bytes([1, 0]) + bytes(6), bytes([14, 0]) + bytes(6), bytes([14, 2]) + bytes(6),
                                         bytes([14, 255]) + bytes(6), bytes([14, 1]) + bytes(7), bytes([14]),
                                         bytes([14, 1]) + bytes(6) + bytes([14, 0]) + bytes(6)])
    def test_options(self, rig, options):
        """Of no length, or beyond the message's end, or cut."""
        dropped(rig, ask(rig, rig.a.gateway, option=Raw(options)), "malformed")

    @pytest.mark.parametrize("source", SOURCES)
    def test_cut_short(self, rig, source):
        """The frame, against its length field; and by its length field, whatever the frame has behind it."""
        whole = bytes(ask(rig, rig.a.gateway, SOURCES[source](rig)))
        for length in range(ETHERNET + HEADER, len(whole)):
            dropped(rig, whole[:length], "malformed")
        for length in range(SOLICITATION + 8):
            if length != SOLICITATION:
                packet = bytearray(whole)
                packet[ETHERNET + 4:ETHERNET + 6] = length.to_bytes(2, "big")
                dropped(rig, packet, "malformed")
                dropped(rig, packet[:ETHERNET + HEADER + length], "malformed")

    @pytest.mark.parametrize("m", [0, 1])
    def test_in_fragments(self, rig, m):
        """RFC 6980: not even in a single one."""
        header = rig.out(rig.a) / IPv6(src=rig.a.address, dst=solicited(rig.a.gateway), hlim=255)
        dropped(rig, header / IPv6ExtHdrFragment(m=m, id=7) / ask(rig, rig.a.gateway)[ICMPv6ND_NS], "malformed")


@pytest.mark.parametrize("source", SOURCES)
def test_pitfall_cilium_48093_none_leaves_the_link(rig, source):
    """Whomever it is addressed to, translated or not: at most it is answered."""
    for destination in (OUTSIDE_FAR6, HOST_ADDRESS6, rig.b.address, rig.c.address):
        header = rig.out(rig.a) / IPv6(src=SOURCES[source](rig), dst=destination, hlim=255)
        for message in (ICMPv6ND_NS(tgt=destination), ICMPv6ND_NS(tgt=rig.a.gateway), ICMPv6ND_NA(tgt=rig.a.address),
                        ICMPv6ND_NA(tgt=destination), ICMPv6ND_RS(), ICMPv6ND_RA(), ICMPv6ND_Redirect(tgt=destination)):
            verdict, out = rig.from_endpoint(rig.a, header / message, summed=False)
            assert verdict == SHOT or verdict == REDIRECT and Ether(out).dst == rig.a.mac, message.summary()


def test_an_endpoint_without_ipv6(rig):
    """As it has no address, none is its own; a link-local one it has by itself."""
    node = rig.add("four", "--mtu", "1000")
    assert 6 not in node.addresses
    header = Ether(src=node.mac, dst="33:33:ff:00:00:01")
    for source in (rig.a.address, OUTSIDE_FAR6):
        with rig.dropped("spoofed-ip", "spoofed-nd"):
            packet = header / IPv6(src=source, dst=solicited(rig.a.gateway), hlim=255) / ICMPv6ND_NS(tgt=rig.a.gateway)
            assert rig.from_endpoint(node, packet)[0] == SHOT
    for source in (LINK_LOCAL, "::"):
        packet = header / IPv6(src=source, dst=solicited(rig.a.gateway), hlim=255) / ICMPv6ND_NS(tgt=rig.a.gateway)
        assert rig.from_endpoint(node, packet)[0] == SHOT
