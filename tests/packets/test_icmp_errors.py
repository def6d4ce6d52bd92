# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors about known connections: both IP headers, both checksums and the quoted ports follow the translation."""
import struct
import time

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.inet6 import IPv6, IPv6ExtHdrFragment, in6_chksum
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw
from scapy.utils import checksum

from bpf import PASS, REDIRECT, SHOT
from siblings import FAMILIES
from icmp import ETHERNET, ICMP_LENGTH, KINDS, L4S, ROUTER, WAYS, Flow, message, opened
from rig import expect
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR

# The connection's packet that the error is about: a first one, or an answer. Ping is masqueraded only.
PACKETS = [(way, name, answer) for way in WAYS for name in L4S for answer in (False, True)
           if name != "ping" or way == "masquerade"]
packets = pytest.mark.parametrize("way, name, answer", PACKETS,
                                  ids=[f"{way}: {'answer by ' * answer}{name}" for way, name, answer in PACKETS])
both_sides = pytest.mark.parametrize("way", ["masquerade", "exposed"])  # reported from outside, by an endpoint
OPTIONS = {"options": 40}  # no IPv4 header has more


def arrives(flow, **error):
    given, wanted = flow.error(**error)
    with flow.rig.dropped():
        expect(flow.report(given), REDIRECT, wanted)


@packets
def test_pitfall_cilium_12968_18414_errors_are_translated(rig, way, name, answer):
    flow = opened(rig, way, name, answer)
    for kind in KINDS:
        arrives(flow, kind=kind)


@packets
def test_pitfall_cilium_33844_40194_every_cut_of_the_quote(rig, way, name, answer):
    """From the 8 bytes that RFC 792 asks for to the whole; routers by RFC 1191 send those 8 and no TCP checksum."""
    flow = opened(rig, way, name, answer)
    for size in range(least(flow), len(flow.seen.payload) + 1):
        arrives(flow, kind="too big", size=size)


@packets
def test_pitfall_cilium_43868_options_in_the_quote(rig, way, name, answer):
    """RFC 5508 REQ-3b. Cilium took the number of words in the quoted header for bytes."""
    flow = opened(rig, way, name, answer, **OPTIONS)
    for size in (*range(least(flow) + 40, least(flow) + 64), None):
        arrives(flow, size=size)


@packets
def test_options_of_the_error(rig, way, name, answer):
    arrives(opened(rig, way, name, answer), **OPTIONS)


@pytest.mark.parametrize("name", L4S)
@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize("source", [OUTSIDE_ADDRESS, ROUTER, "10.1.2.3"])
def test_from_a_router_on_the_way(rig, name, answer, source):
    """It is no end of the connection, so its own address stays."""
    if not answer:
        arrives(opened(rig, "masquerade", name), kind="ttl exceeded", source=source)
    elif name != "ping":
        arrives(opened(rig, "exposed", name, answer=True), kind="too big", source=source)


def test_between_two_nat_ports(rig):
    """Endpoints that know each other by the host's address only, as peers behind one NAT do."""
    a, b, ports = rig.a, rig.b, (rig.port(), rig.port())
    for node, port in zip((a, b), ports):
        assert rig.from_endpoint(node, rig.sent(node, OUTSIDE_FAR) / L4S["udp"](rig, port, 53, False))[0] == REDIRECT
    host = rig.uplink.address
    there = Flow(rig, L4S["udp"], a, b, (a.address, host, *ports), (host, b.address, *ports))
    assert rig.from_endpoint(a, there.sent)[0] == SHOT  # filtered, until the other one sends as well
    for flow in (there.answer(), there.run()):
        for kind in KINDS:
            arrives(flow, kind=kind)
        arrives(flow, size=least(flow))


def test_an_endpoint_speaks_of_what_was_sent_to_itself(rig):
    """The host believes what it is told of its answers to pings, and the path MTU to a destination is everybody's."""
    for destination, reasons in ((rig.a.address, []), (OUTSIDE_FAR, ["icmp-error"]), (rig.b.address, ["icmp-error"])):
        quote = rig.ip(HOST_ADDRESS, destination) / rig.family.ping(1, answer=True) / Raw(bytes(20))
        packet = rig.sent(rig.a, HOST_ADDRESS, proto=rig.family.icmp) / message(rig, ("too big", 1300), bytes(quote))
        with rig.dropped(*reasons):
            expect(rig.from_endpoint(rig.a, packet), SHOT if reasons else PASS, packet)


# Single parts of what arrives, each for itself; the tests above compare whole packets.

def arrived(flow, **error):
    """The IP packet that the sender gets, and the ICMP message in it."""
    verdict, out = flow.report(flow.error(**error)[0])
    ip = Ether(out).payload
    assert (verdict, ip.dst) == (REDIRECT, flow.sent_ends[0])
    return ip, out[ETHERNET + flow.rig.family.header_size:]


def quoted(rig, message):
    return {4: IP, 6: IPv6}[rig.family.number](message[ICMP_LENGTH:])


def least(flow):
    """So many bytes of a packet have to be quoted: its header and 8 more."""
    return flow.rig.family.header_size + 8


@packets
@pytest.mark.families(4)  # the IPv6 header has none
def test_pitfall_cilium_41551_inner_ip_checksum(rig, way, name, answer):
    """Right even if there is no inner L4 checksum to mend."""
    quote = arrived(opened(rig, way, name, answer), size=28)[1][ICMP_LENGTH:]
    assert len(quote) == 28 and checksum(quote[:20]) == 0


@packets
def test_pitfall_cilium_43196_48086_outer_checksum(rig, way, name, answer):
    flow = opened(rig, way, name, answer)
    for size in (least(flow), least(flow) + 7, None):
        ip, message = arrived(flow, size=size)
        assert (checksum(message) if ip.version == 4 else in6_chksum(rig.family.icmp, ip, message)) == 0


@pytest.mark.families(4)  # ICMPv6 has one
@pytest.mark.parametrize("answer", [False, True])
def test_pitfall_cilium_16604_48819_inner_ping_has_no_pseudo_header(rig, answer):
    """Its checksum changes by the identifier alone, and the outer one must not be corrected for it twice."""
    message = arrived(opened(rig, "masquerade", "ping", answer))[1]
    assert checksum(message) == 0
    assert checksum(message[ICMP_LENGTH + rig.family.header_size:]) == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [False, True])
def test_pitfall_udp_checksum_0_stays_0(rig, way, answer):
    message = arrived(opened(rig, way, "udp without checksum", answer))[1]
    assert quoted(rig, message)[UDP].chksum == 0


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize("way", ["exposed elsewhere", "hairpin elsewhere"])
def test_pitfall_cilium_32029_47755_inner_header_through_an_exposed_port(rig, way, answer):
    """A socket knows its error by the quoted tuple: the server its own, the client the one that it connected to."""
    flow = opened(rig, way, "udp", answer)
    about = quoted(rig, arrived(flow)[1])
    assert (about.src, about.dst, about.sport, about.dport) == flow.sent_ends


@both_sides
def test_quoted_checksum_that_becomes_0_is_ffff(rig, way):
    """As its sender wrote it, whose checksum of 0 went out as 0xffff (RFC 768)."""
    flow = opened(rig, way, "udp")

    def payload(word):
        return lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(struct.pack("!H", word))
    flow = flow.carrying(payload(flow.carrying(payload(0)).sent[UDP].chksum))
    assert flow.sent[UDP].chksum == 0xffff != flow.seen[UDP].chksum
    arrives(flow)


@pytest.mark.parametrize("way, name", [("masquerade", "tcp"), ("masquerade", "udp"), ("masquerade", "ping"),
                                       ("exposed", "tcp"), ("exposed", "udp")])
def test_inner_l4_checksum_is_not_validated(rig, way, name):
    """RFC 5508 REQ-3c. A wrong one stays wrong by as much as it was."""
    flow = opened(rig, way, name)

    def spoil(packet):
        l4 = packet.payload
        field = "cksum" if hasattr(l4, "cksum") else "chksum"
        setattr(l4, field, (getattr(l4, field) + 0x1111) % 0xffff)
    arrives(flow, edit=spoil)


@both_sides
def test_first_fragment_quoted(rig, way):
    def cut(ip):
        if ip.version == 4:
            ip.flags = "MF"
            return
        datagram, number = ip.payload, ip.nh
        ip.remove_payload()
        ip.add_payload(IPv6ExtHdrFragment(nh=number, m=1, id=7) / datagram)
        ip.nh = 44
    arrives(opened(rig, way, "udp"), edit=cut)


@both_sides
def test_extensions_behind_the_quote(rig, way):
    """RFC 4884: the quote is padded to 128 bytes, and a label stack follows that traceroute likes to show."""
    flow = opened(rig, way, "tcp")
    padding = bytes(128 - len(flow.seen.payload))
    extension = bytes.fromhex("2000dead 00080101 0001f101".replace(" ", ""))
    words = 32 << 16 if rig.family.number == 4 else 16 << 24  # of 32 bits, or 64
    arrives(flow, kind=("ttl exceeded", words), tail=padding + extension)


# The error itself: its checksum, its TTL, what it does to the connection.

@both_sides
@pytest.mark.parametrize("length", [0, 1, 27, 28, 29, 91, 93, 219, 221, 475, 477, 519, 520, 987, 989, -1, -2])
def test_checksum_of_any_length(rig, way, length):
    """Of which every byte counts, the odd one at the end as well; what is behind the datagram does not."""
    flow = opened(rig, way).carrying(lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(bytes(range(1, 252)) * 6))
    header = rig.family.header_size
    length = 1501 - header + length if length < 0 else ICMP_LENGTH + header + 8 + length  # of the message
    given, wanted = flow.error(size=length - ICMP_LENGTH)
    for trailer in (b"", b"\xff" * 3):
        expect(flow.report(given / Padding(trailer)), REDIRECT, wanted / Padding(trailer))
    frame = bytearray(bytes(given))
    udp = ICMP_LENGTH + header
    for offset in {2, 4, 7, 9, *range(udp + 4, udp + 8), length - 2, length - 1}:  # not the ends that are quoted
        frame[ETHERNET + header + offset] ^= 1
        with rig.dropped("checksum"):
            assert flow.report(frame)[0] == SHOT, offset
        frame[ETHERNET + header + offset] ^= 1


def chksum_of(error):
    where = ETHERNET + FAMILIES[error.payload.version].header_size + 2
    return bytes(error)[where:where + 2]


@both_sides
def test_wrong_checksum(rig, way):
    """RFC 5508 REQ-3. 0 as well: ICMP has no "none"."""
    flow = opened(rig, way)
    right = struct.unpack("!H", chksum_of(flow.error()[0]))[0]
    for wrong in (0, right ^ 1, right ^ 0x8000, right + 1, ~right & 0xffff, (right >> 8) | (right & 255) << 8):
        with rig.dropped("checksum"):
            assert flow.report(flow.error(chksum=wrong)[0])[0] == SHOT, hex(wrong)


@both_sides
def test_checksum_that_is_0(rig, way):
    """As good as any other."""
    flow = opened(rig, way)
    tail = chksum_of(flow.error(tail=bytes(2))[0])
    arrives(flow, tail=tail)
    assert chksum_of(flow.error(tail=tail)[0]) == bytes(2)


@both_sides
def test_ttl_ends(rig, way):
    """And nobody is told: there are no errors about errors (RFC 1122, 3.2.2)."""
    flow = opened(rig, way)
    with rig.dropped("ttl"):
        assert flow.report(flow.error(ttl=1)[0])[0] == SHOT


@both_sides
@pytest.mark.parametrize("ttl", [2, 255])
def test_ttl_goes_down_by_one(rig, way, ttl):
    arrives(opened(rig, way), ttl=ttl)


def entries(flow):
    found = [flow.rig.connections.get(key) for key in flow.keys()]
    return [(entry.seen, entry.tcp) for entry in found]


@packets
def test_neither_refreshes_nor_ends_the_connection(rig, way, name, answer):
    """RFC 4787 REQ-12, 5382 REQ-10, 5508 REQ-6: a forged error must not cut anybody off, nor keep a port open."""
    flow = opened(rig, way, name, answer)
    before = entries(flow)
    time.sleep(0.02)  # so that a refresh would be seen
    for kind in KINDS:
        arrives(flow, kind=kind)
    assert entries(flow) == before
    time.sleep(0.02)
    flow.run()
    assert entries(flow)[0] != before[0]  # as any packet of its own does
