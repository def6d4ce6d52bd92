# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors about known connections: both IP headers, both checksums and the quoted ports follow the translation."""
import struct
import time

import pytest
from scapy.layers.inet import ICMP, IP, UDP, IPOption_NOP, IPOption_RR
from scapy.packet import Padding, Raw
from scapy.utils import checksum

from bpf import PASS, REDIRECT, SHOT
from icmp import HEADERS, KINDS, L4S, ROUTER, WAYS, Flow, message, opened
from rig import CONN_XLAT, TUPLE_SIZE, expect
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR

# The connection's packet that the error is about: a first one, or an answer. Ping is masqueraded only.
PACKETS = [(way, name, answer) for way in WAYS for name in L4S for answer in (False, True)
           if name != "ping" or way == "masquerade"]
packets = pytest.mark.parametrize("way, name, answer", PACKETS,
                                  ids=[f"{way}: {'answer by ' * answer}{name}" for way, name, answer in PACKETS])
both_sides = pytest.mark.parametrize("way", ["masquerade", "exposed"])  # reported from outside, by an endpoint
OPTIONS = {"options": [IPOption_RR(routers=["0.0.0.0"] * 9), IPOption_NOP()]}  # 40 bytes: no header is longer


def arrives(flow, **error):
    given, wanted = flow.error(**error)
    with flow.rig.dropped():
        expect(flow.report(given), REDIRECT, wanted)


@packets
def test_pitfall_cilium_12968_18414_errors_are_translated(rig, way, name, answer):
    flow = opened(rig, way, name, answer)
    for kind in KINDS.values():
        arrives(flow, kind=kind)


@packets
def test_pitfall_cilium_33844_40194_every_cut_of_the_quote(rig, way, name, answer):
    """From the 8 bytes that RFC 792 asks for to the whole; routers by RFC 1191 send those 8 and no TCP checksum."""
    flow = opened(rig, way, name, answer)
    for size in range(28, len(flow.seen[IP]) + 1):
        arrives(flow, kind=KINDS["too big"], size=size)


@packets
def test_pitfall_cilium_43868_options_in_the_quote(rig, way, name, answer):
    """RFC 5508 REQ-3b. Cilium took the number of words in the quoted header for bytes."""
    flow = opened(rig, way, name, answer, **OPTIONS)
    for size in (*range(68, 92), None):
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
        arrives(opened(rig, "masquerade", name), kind=KINDS["ttl exceeded"], source=source)
    elif name != "ping":
        arrives(opened(rig, "exposed", name, answer=True), kind=KINDS["too big"], source=source)


def test_between_two_nat_ports(rig):
    """Endpoints that know each other by the host's address only, as peers behind one NAT do."""
    a, b, ports = rig.a, rig.b, (rig.port(), rig.port())
    for node, port in zip((a, b), ports):
        assert rig.from_endpoint(node, rig.sent(node, OUTSIDE_FAR) / L4S["udp"](port, 53, False))[0] == REDIRECT
    there = Flow(rig, L4S["udp"], a, b, (a.address, HOST_ADDRESS, *ports), (HOST_ADDRESS, b.address, *ports))
    assert rig.from_endpoint(a, there.sent)[0] == SHOT  # filtered, until the other one sends as well
    for flow in (there.answer(), there.run()):
        for kind in KINDS.values():
            arrives(flow, kind=kind)
        arrives(flow, size=28)


def test_an_endpoint_speaks_of_what_was_sent_to_itself(rig):
    """The host believes what it is told of its answers to pings, and the path MTU to a destination is everybody's."""
    for destination, reasons in ((rig.a.address, []), (OUTSIDE_FAR, ["icmp-error"]), (rig.b.address, ["icmp-error"])):
        quote = IP(src=HOST_ADDRESS, dst=destination) / ICMP(type=0, id=1) / Raw(bytes(20))
        packet = rig.sent(rig.a, HOST_ADDRESS, proto=1) / message((3, 4, 600), bytes(quote))
        with rig.dropped(*reasons):
            expect(rig.from_endpoint(rig.a, packet), SHOT if reasons else PASS, packet)


# Single parts of what arrives, each for itself; the tests above compare whole packets.

def arrived(flow, **error):
    """The error that the sender gets, from its IP header on."""
    verdict, out = flow.report(flow.error(**error)[0])
    assert (verdict, IP(out[14:]).dst) == (REDIRECT, flow.sent_ends[0])
    return out[14:]


@packets
def test_pitfall_cilium_41551_inner_ip_checksum(rig, way, name, answer):
    """Right even if there is no inner L4 checksum to mend."""
    quote = arrived(opened(rig, way, name, answer), size=28)[HEADERS:]
    assert len(quote) == 28 and checksum(quote[:20]) == 0


@packets
def test_pitfall_cilium_43196_48086_outer_checksum(rig, way, name, answer):
    flow = opened(rig, way, name, answer)
    for size in (28, 35, None):
        assert checksum(arrived(flow, size=size)[20:]) == 0


@pytest.mark.parametrize("answer", [False, True])
def test_pitfall_cilium_16604_48819_inner_ping_has_no_pseudo_header(rig, answer):
    """Its checksum changes by the identifier alone, and the outer one must not be corrected for it twice."""
    out = arrived(opened(rig, "masquerade", "ping", answer))
    assert checksum(out[20:]) == 0
    assert checksum(out[HEADERS + 20:]) == 0


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("answer", [False, True])
def test_pitfall_udp_checksum_0_stays_0(rig, way, answer):
    out = arrived(opened(rig, way, "udp without checksum", answer))
    assert IP(out[HEADERS:])[UDP].chksum == 0


@pytest.mark.parametrize("answer", [False, True])
@pytest.mark.parametrize("way", ["exposed elsewhere", "hairpin elsewhere"])
def test_pitfall_cilium_32029_47755_inner_header_through_an_exposed_port(rig, way, answer):
    """A socket knows its error by the quoted tuple: the server its own, the client the one that it connected to."""
    flow = opened(rig, way, "udp", answer)
    quoted = IP(arrived(flow)[HEADERS:])
    assert (quoted.src, quoted.dst, quoted.sport, quoted.dport) == flow.sent_ends


@both_sides
def test_quoted_checksum_that_becomes_0_is_ffff(rig, way):
    """As its sender wrote it, whose checksum of 0 went out as 0xffff (RFC 768)."""
    flow = opened(rig, way, "udp")

    def payload(word):
        return lambda s, d, answer: UDP(sport=s, dport=d) / Raw(struct.pack("!H", word))
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
        l4.chksum = (l4.chksum + 0x1111) % 0xffff
    arrives(flow, edit=spoil)


@both_sides
def test_first_fragment_quoted(rig, way):
    def cut(packet):
        packet.flags = "MF"
    arrives(opened(rig, way, "udp"), edit=cut)


@both_sides
def test_extensions_behind_the_quote(rig, way):
    """RFC 4884: the quote is padded to 128 bytes, and a label stack follows that traceroute likes to show."""
    flow = opened(rig, way, "tcp")
    padding = bytes(128 - len(flow.seen[IP]))
    extension = bytes.fromhex("2000dead 00080101 0001f101".replace(" ", ""))
    arrives(flow, kind=(11, 0, 32 << 16), tail=padding + extension)


# The error itself: its checksum, its TTL, what it does to the connection.

@both_sides
@pytest.mark.parametrize("length", [36, 37, 63, 64, 65, 127, 129, 255, 257, 511, 513, 555, 556, 1023, 1025, 1479, 1480])
def test_checksum_of_any_length(rig, way, length):
    """Of which every byte counts, the odd one at the end as well; what is behind the datagram does not."""
    flow = opened(rig, way).carrying(lambda s, d, answer: UDP(sport=s, dport=d) / Raw(bytes(range(1, 252)) * 6))
    given, wanted = flow.error(size=length - 8)
    for trailer in (b"", b"\xff" * 3):
        expect(flow.report(given / Padding(trailer)), REDIRECT, wanted / Padding(trailer))
    frame = bytearray(bytes(given))
    for offset in {2, 4, 7, 9, 32, 33, 34, 35, length - 2, length - 1}:  # not the ends that are quoted
        frame[34 + offset] ^= 1
        with rig.dropped("checksum"):
            assert flow.report(frame)[0] == SHOT, offset
        frame[34 + offset] ^= 1


@both_sides
def test_wrong_checksum(rig, way):
    """RFC 5508 REQ-3. 0 as well: ICMP has no "none"."""
    flow = opened(rig, way)
    right = struct.unpack_from("!H", bytes(flow.error()[0]), 36)[0]
    for wrong in (0, right ^ 1, right ^ 0x8000, right + 1, ~right & 0xffff, (right >> 8) | (right & 255) << 8):
        with rig.dropped("checksum"):
            assert flow.report(flow.error(chksum=wrong)[0])[0] == SHOT, hex(wrong)


@both_sides
def test_checksum_that_is_0(rig, way):
    """As good as any other."""
    flow = opened(rig, way)
    before = checksum(bytes(flow.error()[0])[34:36] + bytes(2) + bytes(flow.error()[0])[38:])
    arrives(flow, tail=struct.pack("!H", before))
    assert bytes(flow.error(tail=struct.pack("!H", before))[0])[36:38] == bytes(2)


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


# struct conn: when the last packet came, in clock units of about a millisecond, and what TCP has shown
SEEN = CONN_XLAT + TUPLE_SIZE + 16
TCP_SEEN = SEEN + 35


def entries(flow):
    return [(value[SEEN:SEEN + 4], value[TCP_SEEN]) for value in map(flow.rig.connections.lookup, flow.keys())]


@packets
def test_neither_refreshes_nor_ends_the_connection(rig, way, name, answer):
    """RFC 4787 REQ-12, 5382 REQ-10, 5508 REQ-6: a forged error must not cut anybody off, nor keep a port open."""
    flow = opened(rig, way, name, answer)
    before = entries(flow)
    time.sleep(0.02)  # so that a refresh would be seen
    for kind in KINDS.values():
        arrives(flow, kind=kind)
    assert entries(flow) == before
    time.sleep(0.02)
    flow.run()
    assert entries(flow)[0] != before[0]  # as any packet of its own does
