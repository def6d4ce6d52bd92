# SPDX-License-Identifier: GPL-2.0-only
"""IPv6 addresses that lead no further than the link, or to a group: dropped from an endpoint, from outside the host's."""
import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import (ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS, ICMPv6ND_RA, ICMPv6ND_RS,
                                ICMPv6NDOptSrcLLAddr, IPv6ExtHdrHopByHop, RouterAlert)
from scapy.packet import Raw

from bpf import SHOT
from icmp import message
from rig import GATEWAY_MAC, expect_untouched
from topology import HOST_ADDRESS, OUTSIDE_FAR, OUTSIDE_LINK_LOCAL

pytestmark = pytest.mark.families(6)

OWN, ANOTHERS, HOSTS = "fe80::6e:aff:fe50:2", "fe80::6e:aff:fe50:3", "fe80::1"
L4 = {"udp": lambda rig: UDP(sport=9, dport=5001) / Raw(b"x"), "tcp": lambda rig: TCP(sport=9, dport=5000, flags="S"),
      "ping": lambda rig: rig.family.ping(1), "pong": lambda rig: rig.family.ping(1, answer=True),
      "icmp error": lambda rig: message(rig, "too big", bytes(rig.ip(HOST_ADDRESS, OWN) / UDP())),
      "gre": lambda rig: Raw(bytes(40))}


def dropped(rig, source, destination, name, *reasons, mac=GATEWAY_MAC):
    packet = rig.out(rig.a) / rig.ip(source, destination) / L4[name](rig)
    if name == "gre":
        packet.payload.nh = 47
    packet.dst = mac
    with rig.dropped(*reasons):
        assert rig.from_endpoint(rig.a, packet)[0] == SHOT, (source, destination)


@pytest.mark.parametrize("name", L4)
class TestFromAnEndpoint:
    def test_link_local_source(self, rig, name):
        for destination in (OUTSIDE_FAR, HOST_ADDRESS, rig.a.gateway, rig.b.address, rig.c.address, ANOTHERS, HOSTS):
            dropped(rig, OWN, destination, name, "link-local")

    def test_link_local_destination(self, rig, name):
        """Not even another's of this network: their links are their own."""
        for destination in (ANOTHERS, HOSTS, OUTSIDE_LINK_LOCAL, "fe80::", "febf::1"):
            dropped(rig, rig.a.address, destination, name, "link-local")

    def test_multicast(self, rig, name):
        """Within a network neither: no mDNS."""
        for destination in ("ff02::1", "ff02::2", "ff02::fb", "ff01::1", "ff05::2", "ff0e::1", "ff02::1:ff00:3"):
            for source in (rig.a.address, OWN):
                dropped(rig, source, destination, name, "multicast", mac="33:33:00:00:00:01")

    def test_multicast_frame(self, rig, name):
        for destination in (OUTSIDE_FAR, rig.b.address):
            dropped(rig, rig.a.address, destination, name, "multicast", mac="33:33:00:00:00:01")

    def test_from_nobody(self, rig, name):
        for destination in (OUTSIDE_FAR, HOST_ADDRESS, rig.b.address):
            dropped(rig, "::", destination, name, "spoofed-ip")

    def test_loopback(self, rig, name):
        dropped(rig, rig.a.address, "::1", name, "martian")

    def test_mapped(self, rig, name):
        """RFC 4291 2.5.5.2: not on a wire. In tuples they stand for IPv4 addresses."""
        for destination in ("::ffff:203.0.113.2", "::ffff:10.80.0.3", "::ffff:198.51.100.1", "::ffff:127.0.0.1"):
            dropped(rig, rig.a.address, destination, name, "martian")
        dropped(rig, "::ffff:" + rig.a.addresses[4], OUTSIDE_FAR, name, "martian")


@pytest.mark.parametrize("name", L4)
def test_from_outside(rig, name):
    """The host's, whatever is exposed on all of its addresses: what it answers comes from a link-local address, too."""
    ends = [(OUTSIDE_LINK_LOCAL, HOSTS), (OUTSIDE_LINK_LOCAL, HOST_ADDRESS), (OUTSIDE_LINK_LOCAL, rig.a.address),
            (OUTSIDE_LINK_LOCAL, "ff02::1"), (OUTSIDE_FAR, HOSTS), (OUTSIDE_FAR, "ff02::1"), (OUTSIDE_FAR, "ff0e::5"),
            (OUTSIDE_FAR, "::1"), (OUTSIDE_FAR, "::ffff:198.51.100.1"), ("::ffff:203.0.113.2", HOST_ADDRESS),
            ("ff02::1", HOST_ADDRESS), ("::", HOST_ADDRESS), ("::1", HOST_ADDRESS)]
    for source, destination in ends:
        packet = rig.arrived(destination, src=source) / L4[name](rig)
        if name == "gre":
            packet.payload.nh = 47
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)


def test_pitfall_cilium_48093_neighbour_discovery_is_the_hosts(rig):
    """Never translated. (An endpoint's: test_nd.py)"""
    link = {"src": OUTSIDE_LINK_LOCAL, "ttl": 255}
    option = ICMPv6NDOptSrcLLAddr(lladdr=rig.outside_mac)
    host = rig.uplink.address
    for packet in (rig.arrived("ff02::1", **link) / ICMPv6ND_RA() / option,
                   rig.arrived("ff02::2", **link) / ICMPv6ND_RS(),
                   rig.arrived("ff02::1:ff00:1", **link) / ICMPv6ND_NS(tgt=host) / option,
                   rig.arrived(host, ttl=255) / ICMPv6ND_NS(tgt=host) / option,
                   rig.arrived(host, ttl=255) / ICMPv6ND_NA(tgt=OUTSIDE_LINK_LOCAL),
                   rig.arrived("ff02::16", src="::", ttl=1) / IPv6ExtHdrHopByHop(options=[RouterAlert()]) /
                   ICMPv6MLReport2()):
        with rig.dropped():
            expect_untouched(rig.from_uplink(packet), packet)
