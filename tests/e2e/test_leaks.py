# SPDX-License-Identifier: GPL-2.0-only
"""What the outside machine sees of an endpoint that sends whatever it likes: never its address (cilium #42144)."""
import random
import socket

import pytest
from datagrams import protocol
from families import Family4, Family6
from scapy.layers.inet import ICMP, TCP, UDP, IPOption_NOP
from scapy.layers.inet6 import (ICMPv6DestUnreach, ICMPv6EchoRequest, ICMPv6MLReport2, ICMPv6ND_NA, ICMPv6ND_NS,
                                ICMPv6ND_RA, ICMPv6ND_RS, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop,
                                IPv6ExtHdrRouting, PadN)
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from wire import GATEWAY_MAC

pytestmark = pytest.mark.attach

MASQUERADED = {Family4: {1, 6, 17}, Family6: {6, 17, 58}}
OF_THE_HOST = {Family4: {Family4.host}, Family6: {Family6.host, "fe80::1"}}
# Of IPv6 less those that are extension headers.
UNKNOWN = {Family4: 253, Family6: 249}


def odd_packets4(ip):
    fragments = [ip(proto=number, **fields) / Raw(bytes(48))
                 for number in (1, 6, 17, 47, 132, 136) for fields in ({"flags": "MF"}, {"frag": 3})]
    options = ip(options=[IPOption_NOP()] * 4) / Raw(bytes(8))
    options.dst = "224.0.0.22"
    return [*fragments, options, ip() / ICMP(type=3, code=3) / ip() / UDP(sport=1, dport=9) / Raw(b"inner")]


def odd_packets6(ip):
    """Random chains of headers, and what belongs to a link."""
    rng = random.Random(6)
    headers = (lambda: IPv6ExtHdrHopByHop(options=[PadN(optdata=bytes(rng.choice((0, 4, 12, 100))))]),
               lambda: IPv6ExtHdrDestOpt(options=[PadN(optdata=bytes(rng.choice((0, 4, 12, 100))))]),
               lambda: IPv6ExtHdrRouting(type=rng.choice((0, 2, 3)), segleft=rng.choice((0, 0, 1)),
                                         addresses=[Family6.far] * rng.choice((0, 1, 2))),
               lambda: IPv6ExtHdrFragment(offset=rng.choice((0, 0, 3)), m=rng.choice((0, 1)), id=rng.randrange(1 << 32)))
    ends = (lambda: TCP(sport=rng.randrange(65536), dport=9, flags=rng.choice(("S", "A", "R", ""))),
            lambda: UDP(sport=rng.randrange(65536), dport=9), lambda: ICMPv6EchoRequest(id=rng.randrange(65536)),
            lambda: Raw(rng.randbytes(rng.choice((0, 1, 8, 40)))))
    packets = []
    for _ in range(400):
        packet = ip()
        for _ in range(rng.randrange(10)):
            packet /= rng.choice(headers)()
        packets.append(packet / rng.choice(ends)() / Raw(bytes(rng.choice((0, 8, 300)))))
    for message in (ICMPv6ND_NS(), ICMPv6ND_NA(), ICMPv6ND_RS(), ICMPv6ND_RA(), ICMPv6MLReport2(),
                    ICMPv6DestUnreach(code=4) / ip() / UDP(sport=1, dport=9) / Raw(b"inner")):
        packets += [ip(hlim=hops) / message for hops in (1, 64, 255)]
    return packets


ODD_PACKETS = {Family4: odd_packets4, Family6: odd_packets6}


def test_pitfall_cilium_42144_nothing_leaves_un_nated(host, family):
    a = host.add("a")
    address = a.address_of(family)
    wan = host.outside.capture("wan0")

    def ip(**fields):
        return family.IP(src=address, dst=family.far, **fields)

    inside = ip() / UDP(sport=1, dport=9) / Raw(b"inner")
    packets = [ip(**{family.protocol: number}) / Raw(bytes(40)) for number in range(256)]
    packets += [ip() / TCP(sport=2000 + number, dport=9, flags=number) for number in range(64)]
    packets += [ip() / inside, *ODD_PACKETS[family](ip)]
    # The last one is a marker: what was sent before it has arrived by then, if it has.
    packets.append(ip() / UDP(sport=3000, dport=9) / Raw(b"marker"))
    a.send("eth0", *(Ether(src=a.info["mac"], dst=GATEWAY_MAC) / packet for packet in packets))
    wan.expect(lambda p: Raw in p and p[Raw].load == b"marker")
    sent = [p for p in wan.packets if p[Ether].src == host.link("up0")["address"] and p[Ether].type == family.ethertype]
    assert {p[family.IP].src for p in sent} <= OF_THE_HOST[family]
    assert {protocol(p[family.IP]) for p in sent} <= MASQUERADED[family]
    assert len(sent) > 32
    packed = socket.inet_pton(socket.AF_INET6 if family is Family6 else socket.AF_INET, address)
    assert not [p for p in wan.packets if packed in p.frame]
    assert host.json()["drops"]["protocol"] >= UNKNOWN[family]


def test_pitfall_cilium_47425_a_stale_answer_lets_nothing_out(host, family):
    """A connection that ended leaves nothing that could be taken for "this is a reply": the SYN is translated."""
    a = host.add("a")
    host.nsbpf("expose", a.name, "5000")
    with a.tcp_echo(5000, family.any):
        assert host.outside.tcp(family.host, 5000)["data"] == "hello"
    host.nsbpf("unexpose", a.name, "5000")
    wan = host.outside.capture("wan0")
    with host.outside.tcp_echo(address=family.any) as server:
        seen = a.tcp(family.far, server.port, source_port=5000)
    assert seen["peer"] == family.host
    assert not [p for p in wan.packets if family.IP in p and p[family.IP].src == a.address_of(family)]
