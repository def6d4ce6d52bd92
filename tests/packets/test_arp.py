# SPDX-License-Identifier: GPL-2.0-only
"""ARP of an endpoint: answered for the gateway and the neighbours, silent otherwise, and never believed."""
import pytest
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Padding

from bpf import REDIRECT, SHOT
from rig import GATEWAY_MAC, expect
from topology import HOST_ADDRESS, OUTSIDE_FAR


# Its answers are not summed: nobody sums ARP. IPv6: test_nd.py
pytestmark = pytest.mark.families(4)


def arp(rig, node, **fields):
    fields = {"op": 1, "hwsrc": node.mac, "psrc": node.address, "hwdst": "00:00:00:00:00:00", **fields}
    return Ether(src=node.mac, dst="ff:ff:ff:ff:ff:ff") / ARP(**fields)


class TestArp:
    @pytest.mark.parametrize("trailer", [b"", bytes(18), b"trailer"])
    @pytest.mark.parametrize("asked", ["10.80.0.1", "10.80.0.3"])
    def test_answered_for_gateway_and_neighbour(self, rig, asked, trailer):
        request = arp(rig, rig.a, pdst=asked) / Padding(trailer)
        answer = Ether(src=GATEWAY_MAC, dst=rig.a.mac) / ARP(op=2, hwsrc=GATEWAY_MAC, psrc=asked, hwdst=rig.a.mac,
                                                            pdst=rig.a.address) / Padding(trailer)
        with rig.dropped():
            expect(rig.from_endpoint(rig.a, request, summed=False), REDIRECT, answer)

    def test_answered_when_asked_by_unicast(self, rig):
        request = arp(rig, rig.a, pdst="10.80.0.1")
        request[Ether].dst = GATEWAY_MAC
        answer = Ether(src=GATEWAY_MAC, dst=rig.a.mac) / ARP(op=2, hwsrc=GATEWAY_MAC, psrc="10.80.0.1",
                                                            hwdst=rig.a.mac, pdst=rig.a.address)
        expect(rig.from_endpoint(rig.a, request, summed=False), REDIRECT, answer)

    def test_probe_for_a_neighbours_address_is_answered(self, rig):
        """RFC 5227: the sender address is 0, and whoever has the address says so."""
        request = arp(rig, rig.a, psrc="0.0.0.0", pdst="10.80.0.3")
        answer = Ether(src=GATEWAY_MAC, dst=rig.a.mac) / ARP(op=2, hwsrc=GATEWAY_MAC, psrc="10.80.0.3",
                                                            hwdst=rig.a.mac, pdst="0.0.0.0")
        expect(rig.from_endpoint(rig.a, request, summed=False), REDIRECT, answer)

    @pytest.mark.parametrize("fields", [{"psrc": "0.0.0.0", "pdst": "10.80.0.2"}, {"pdst": "10.80.0.2"},
                                        {"pdst": "10.80.77.77"}, {"pdst": HOST_ADDRESS}, {"pdst": "10.99.0.2"},
                                        {"pdst": "10.99.0.1"}, {"pdst": OUTSIDE_FAR}, {"pdst": "127.0.0.1"},
                                        {"op": 2, "pdst": "10.80.0.1"}],
                             ids=["own address probed", "own address announced", "nobody's", "the host's",
                                  "another network's", "another network's gateway", "outside", "loopback", "reply"])
    def test_not_answered(self, rig, fields):
        assert rig.from_endpoint(rig.a, arp(rig, rig.a, **fields))[0] == SHOT

    @pytest.mark.parametrize("fields, reason", [({"psrc": "10.80.0.3"}, "spoofed-arp"),
                                                ({"psrc": "10.80.0.1"}, "spoofed-arp"),
                                                ({"psrc": "10.80.0.3", "pdst": "10.80.0.3"}, "spoofed-arp"),
                                                ({"psrc": "10.80.0.1", "op": 2}, "spoofed-arp"),
                                                ({"hwsrc": "02:00:00:00:00:01"}, "spoofed-mac")])
    def test_spoofed(self, rig, fields, reason):
        with rig.dropped(reason):
            assert rig.from_endpoint(rig.a, arp(rig, rig.a, **{"pdst": "10.80.0.1", **fields}))[0] == SHOT

    def test_spoofed_ethernet_source(self, rig):
        request = arp(rig, rig.a, pdst="10.80.0.1")
        request[Ether].src = rig.b.mac
        with rig.dropped("spoofed-mac"):
            assert rig.from_endpoint(rig.a, request)[0] == SHOT

    @pytest.mark.parametrize("fields", [{"hwtype": 6}, {"ptype": 0x86dd}, {"hwlen": 8}, {"plen": 16}])
    def test_not_ipv4_over_ethernet(self, rig, fields):
        with rig.dropped("malformed"):
            assert rig.from_endpoint(rig.a, arp(rig, rig.a, pdst="10.80.0.1", **fields))[0] == SHOT

    @pytest.mark.parametrize("length", range(14, 42))
    def test_cut_short(self, rig, length):
        with rig.dropped("malformed"):
            assert rig.from_endpoint(rig.a, bytes(arp(rig, rig.a, pdst="10.80.0.1"))[:length])[0] == SHOT
