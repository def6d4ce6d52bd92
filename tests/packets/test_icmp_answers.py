# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors that nsbpf makes, where a router would: about what, from whom, and every byte of them."""
import time

import pytest
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Padding, Raw

from bpf import PASS, REDIRECT, SHOT
from siblings import Family4, Family6, rebuilt
from icmp import L4S, WAYS, forget_rates, message, open_networks, opened, run
from rig import SECOND_ADDRESS, expect
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR, wait_for

ICMP_LENGTH = 8
ROUTES = {
    "192.0.2.16": "route add unreachable {}", "192.0.2.32": "route add prohibit {}",
    "192.0.2.64": "route add blackhole {}",
    "192.0.2.96": "rule add to {} prohibit", "192.0.2.112": "rule add to {} blackhole",
    "192.0.2.128": "route add {} dev lo", "192.0.2.144": "route add {} via {} mtu 1400",
    "192.0.2.160": "route add {} via {} mtu lock 1400",
}


@pytest.fixture(scope="module", autouse=True)
def routes(shared_rig):
    """Of 16 addresses each, in both families."""
    for family, prefix in ((Family4, "/28"), (Family6, "/124")):
        for address, command in ROUTES.items():
            command = command.format(family.address(address) + prefix, family.address(OUTSIDE_ADDRESS))
            shared_rig.host.ip(f"-{family.number}", *command.split())


@pytest.fixture(autouse=True)
def no_errors_yet(rig):
    forget_rates(rig)


def answers(rig, node, packet, kind, *reasons, **ctx):
    """The packet is dropped for that reason, and its sender is told, by its gateway or the address that it asked."""
    ip = packet.payload
    length = ip.len if ip.version == 4 else rig.family.header_size + ip.plen
    quote = bytes(ip)[:length][:rig.family.icmp_limit - rig.family.header_size - ICMP_LENGTH]
    with rig.dropped(*reasons):
        verdict, out = run(rig, node, packet, summed=len(quote) == len(ip), **ctx)
    assert verdict == REDIRECT, (verdict, packet.summary())
    got = Ether(out)
    ether = rig.to(node) if node else Ether(src=got.src, dst=got.dst)  # bpf_redirect_neigh() is yet to write it
    # Never fragmented, so it needs no identification (RFC 6864).
    header = rig.ip(node.gateway if node else ip.dst, ip.src, tos=rig.family.icmp_tos, id=0, flags="DF",
                    proto=rig.family.icmp)
    expect((verdict, out), REDIRECT, ether / header / message(rig, kind, quote))


def silent(rig, node, packet, reason, **ctx):
    with rig.dropped(reason):
        assert run(rig, node, packet, **ctx)[0] == SHOT, packet.summary()


def with_ttl(packet, ttl):
    packet = packet.copy()
    setattr(packet.payload, "ttl" if packet.payload.version == 4 else "hlim", ttl)
    return Ether(rebuilt(packet))


def whole(packet):
    """With the fields that scapy computes: what is quoted later is this."""
    return Ether(bytes(packet))


def longest_quote(rig):
    """The UDP payload of a datagram that an error can just quote as a whole."""
    length = rig.family.icmp_limit - 2 * (rig.family.header_size + ICMP_LENGTH)
    return bytes(number % 251 for number in range(length))


PAYLOADS = {
    **{name: ({}, build) for name, build in L4S.items()},
    "empty": ({}, lambda rig, s, d, answer: UDP(sport=s, dport=d)),
    "odd": ({}, lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(b"odd")),
    "options": ({"options": 40}, L4S["udp"]),
    "options and tos": ({"options": 8, "tos": 0xb8, "id": 77, "flags": "DF"}, L4S["tcp"]),
    "trailer": ({}, lambda rig, s, d, answer: UDP(sport=s, dport=d) / Padding(b"trailer")),
    "as long as fits": ({}, lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(longest_quote(rig))),
    "one byte longer": ({}, lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(longest_quote(rig) + b"x")),
    "full size": ({}, lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(bytes(range(256)) * 5 + bytes(172))),
}


class TestTtl:
    """Each hop once: what has one hop left when it comes here goes no further, in either direction."""

    @pytest.mark.parametrize("case", PAYLOADS)
    def test_pitfall_cilium_27616_from_an_endpoint(self, rig, case):
        fields, build = PAYLOADS[case]
        port = rig.port()
        for ttl in (1, 64, 1):  # a first packet, and one of a connection
            sent = whole(rig.sent(rig.a, OUTSIDE_FAR, **fields, ttl=ttl) / build(rig, port, 53, False))
            if ttl == 1:
                answers(rig, rig.a, sent, "ttl exceeded", "ttl")
            else:
                assert run(rig, rig.a, sent)[0] == REDIRECT

    @pytest.mark.parametrize("case", [case for case in PAYLOADS if case not in ("tcp", "ping", "options and tos")])
    def test_from_outside(self, rig, case):
        """To an exposed port: as the client sent it, untranslated, and the host is the hop."""
        fields, build = PAYLOADS[case]
        port = rig.port()
        for ttl in (1, 64, 1):
            sent = whole(rig.arrived(SECOND_ADDRESS, **fields, ttl=ttl) / build(rig, port, 5001, False))
            if ttl == 1:
                answers(rig, None, sent, "ttl exceeded", "ttl")
            else:
                assert run(rig, None, sent)[0] == REDIRECT

    @pytest.mark.parametrize("way", WAYS)
    @pytest.mark.parametrize("answer", [False, True])
    def test_of_a_connection(self, rig, way, answer):
        flow = opened(rig, way, "udp", answer)
        answers(rig, flow.sender, with_ttl(flow.sent, 1), "ttl exceeded", "ttl")

    @pytest.mark.parametrize("way", ["masquerade", "exposed"])
    def test_of_a_packet_of_several_segments(self, rig, way):
        """Its answer is one packet, and not to be cut."""
        flow = opened(rig, way, "tcp").carrying(
            lambda rig, s, d, answer: TCP(sport=s, dport=d, flags="A") / Raw(bytes(2800)))
        answers(rig, flow.sender, with_ttl(flow.sent, 1), "ttl exceeded", "ttl", gso_size=1400, gso_segs=2)

    def test_to_another_network(self, rig):
        with open_networks(rig):
            for node, target in ((rig.a, rig.c), (rig.c, rig.a)):
                packet = whole(rig.sent(node, target.address, ttl=1) / UDP(sport=9, dport=9))
                answers(rig, node, packet, "ttl exceeded", "ttl")


class TestTooBig:
    @pytest.mark.parametrize("dst, mtu", [(OUTSIDE_FAR, 1500), ("192.0.2.145", 1400),
                                          ("192.0.2.161", 1400)])
    @pytest.mark.parametrize("fields", [{}, {"flags": "DF"}, {"flags": "DF", "options": 8}])
    def test_pitfall_cilium_41478_mtu_of_the_route(self, rig, dst, mtu, fields):
        """Without DF as well: a BPF program can't fragment. Of IPv6 Linux forwards by the device's, unless it is locked."""
        mtu = 1500 if rig.family.number == 6 and dst == "192.0.2.145" else mtu
        port = rig.port()

        def sized(length):
            packet = rig.sent(rig.a, dst, **fields) / UDP(sport=port, dport=9)
            return whole(packet / Raw(bytes(length - len(packet.payload))))
        for _ in range(2):  # a first packet, and one of a connection
            answers(rig, rig.a, sized(mtu + 1), ("too big", mtu), "too-big")
            with rig.dropped():
                assert run(rig, rig.a, sized(mtu))[0] == REDIRECT

    @pytest.mark.parametrize("name, header, options", [("tcp", 20, 0), ("tcp", 20, 16), ("tcp", 32, 0), ("udp", 8, 0),
                                                       ("udp", 8, 8)])
    def test_gso_is_measured_by_its_segments(self, rig, name, header, options):
        port = rig.port()
        l4 = UDP(sport=port, dport=9) if name == "udp" else \
            TCP(sport=port, dport=9, options=[("Timestamp", (1, 2)), ("NOP", None), ("NOP", None)] if header == 32 else [])
        packet = whole(rig.sent(rig.a, "192.0.2.161", flags="DF", options=options) / l4 / Raw(bytes(2900)))
        largest = 1400 - rig.family.header_size - options - header
        for _ in range(2):
            answers(rig, rig.a, packet, ("too big", 1400), "too-big", gso_size=largest + 1, gso_segs=3)
            with rig.dropped():
                assert run(rig, rig.a, packet, gso_size=largest, gso_segs=3)[0] == REDIRECT

    def test_answer_through_an_exposed_port(self, rig):
        port = rig.port()
        assert rig.from_uplink(rig.arrived(src="192.0.2.162") / UDP(sport=port, dport=5001))[0] == REDIRECT
        packet = whole(rig.sent(rig.a, "192.0.2.162", flags="DF") / UDP(sport=5001, dport=port) / Raw(bytes(1373)))
        answers(rig, rig.a, packet, ("too big", 1400), "too-big")

    def test_first_fragment(self, rig):
        packet = whole(rig.sent(rig.a, "192.0.2.161", flags="MF") / UDP(sport=rig.port(), dport=9) / Raw(bytes(1452)))
        answers(rig, rig.a, packet, ("too big", 1400), "too-big")


# address: (drop reason, kind of error)
UNREACHABLE = {"192.0.2.17": ("unreachable", "host unreachable"), "192.0.2.33": ("prohibited", "prohibited"),
               "192.0.2.65": ("blackhole", None), "192.0.2.97": ("prohibited", "prohibited"),
               "192.0.2.113": ("blackhole", None), "192.0.2.129": ("not-uplink", None)}


OF_RULES = ("192.0.2.97", "192.0.2.113")


@pytest.mark.parametrize("address", UNREACHABLE)
@pytest.mark.parametrize("name", L4S)
def test_pitfall_cilium_24252_what_routes_and_rules_say(rig, address, name):
    """Is what the endpoint is told. A black hole says nothing."""
    reason, kind = UNREACHABLE[address]
    if rig.family.number == 6 and address in OF_RULES:
        # bpf_fib_lookup() of IPv6 says of a rule what it says of local addresses: the host's stack drops it.
        packet = rig.sent(rig.a, address) / L4S[name](rig, rig.port(), 53, False)
        return expect(run(rig, rig.a, packet), PASS, packet)
    for node in (rig.a, rig.c):
        packet = whole(rig.sent(node, address) / L4S[name](rig, rig.port(), 53, False))
        if kind:
            answers(rig, node, packet, kind, reason)
        else:
            silent(rig, node, packet, reason)


@pytest.mark.parametrize("name", L4S)
def test_nobody_in_another_network(rig, name):
    """Not by the default route to whoever else has such addresses."""
    packet = whole(rig.sent(rig.a, "10.99.0.77") / L4S[name](rig, rig.port(), 53, False))
    answers(rig, rig.a, packet, "host unreachable", "unreachable")


@pytest.fixture
def no_default_route(rig):
    family = f"-{rig.family.number}"
    rig.host.ip(family, "route", "del", "default")
    yield
    rig.host.ip(family, "route", "add", "default", "via", rig.family.address(OUTSIDE_ADDRESS))


@pytest.mark.parametrize("name", L4S)
def test_no_route(rig, no_default_route, name):
    for node in (rig.a, rig.c):
        packet = whole(rig.sent(node, OUTSIDE_FAR) / L4S[name](rig, rig.port(), 53, False))
        answers(rig, node, packet, "network unreachable", "no-route")


def test_route_that_becomes_unreachable(rig):
    """A connection looks at its route again within a second or so."""
    packet = whole(rig.sent(rig.a, "192.0.2.200") / UDP(sport=rig.port(), dport=9))
    assert run(rig, rig.a, packet)[0] == REDIRECT
    rig.host.ip("route", "add", "unreachable", rig.family.address("192.0.2.200"))
    before = rig.drops()["unreachable"]
    wait_for(lambda: run(rig, rig.a, packet) and rig.drops()["unreachable"] > before)
    answers(rig, rig.a, packet, "host unreachable", "unreachable")


def test_quota(rig):
    """RFC 5508 REQ-8: the sender is told that it may not, and not left to wait."""
    d = rig.add(f"d{rig.family.number}", "--max-connections", "1")
    port = rig.port()
    packet = rig.sent(d, OUTSIDE_FAR) / UDP(sport=port, dport=53)
    assert run(rig, d, packet)[0] == REDIRECT
    assert rig.from_uplink(rig.arrived() / UDP(sport=53, dport=port))[0] == REDIRECT
    packet = whole(rig.sent(d, OUTSIDE_FAR) / UDP(sport=rig.port(), dport=53))
    answers(rig, d, packet, "prohibited", "quota")


def test_syn_to_a_nat_port(rig):
    """RFC 5382 REQ-4: silence for 6 s, in which the endpoint might connect as well; then the truth."""
    flow = opened(rig, "masquerade", "tcp")
    syn = whole(rig.arrived(src=OUTSIDE_ADDRESS) / TCP(sport=rig.port(), dport=flow.seen_ends[2], flags="S"))
    rig.set_second(10)
    try:
        silent(rig, None, syn, "filtered")
        time.sleep(0.1)
        answers(rig, None, syn, "port unreachable", "refused")
    finally:
        rig.set_second()


NOBODY = {4: ("0.0.0.0", "127.0.0.1", "224.0.0.5", "255.255.255.255", "198.51.100.255", HOST_ADDRESS),
          6: ("::", "::1", "ff02::5", "ff0e::1", "::ffff:192.0.2.7", HOST_ADDRESS)}
MULTICAST = {4: ("224.0.0.251", "255.255.255.255"), 6: ("ff02::fb", "ff0e::1")}


class TestNever:
    """RFC 1122, 3.2.2, and RFC 1812, 4.3.2.7."""

    def test_about_an_error(self, rig):
        for way in ("masquerade", "exposed"):
            for answer in (False, True):
                flow = opened(rig, way, "udp", answer)
                silent(rig, flow.receiver, whole(flow.error(ttl=1)[0]), "ttl")
        flow = opened(rig, "exposed").carrying(lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(bytes(1600)))
        silent(rig, rig.a, flow.error()[0], "too-big")
        for address in ("192.0.2.17", "192.0.2.33"):
            quoted = rig.ip(address, rig.a.address) / UDP(sport=9, dport=rig.port())
            packet = rig.sent(rig.a, address, proto=rig.family.icmp) / message(rig, "port unreachable", bytes(quoted))
            assert run(rig, rig.a, packet)[0] == SHOT

    def test_about_a_later_fragment(self, rig):
        """Nor about one that is too big; of the first one the sender hears."""
        for node, packet in ((rig.a, rig.sent(rig.a, OUTSIDE_FAR) / UDP(sport=rig.port(), dport=9)),
                             (None, rig.arrived() / UDP(sport=rig.port(), dport=5001))):
            parts = rig.family.fragments(packet / Raw(bytes(2000)), 99)
            assert run(rig, node, parts[0])[0] == REDIRECT
            silent(rig, node, with_ttl(parts[1], 1), "ttl")
        first = rig.sent(rig.a, "192.0.2.161", id=98, flags="MF") / UDP(sport=rig.port(), dport=9) / Raw(bytes(80))
        assert run(rig, rig.a, first)[0] == REDIRECT
        silent(rig, rig.a, rig.sent(rig.a, "192.0.2.161", id=98, frag=11, proto=17) / Raw(bytes(1400)), "too-big")

    def test_to_nobody(self, rig):
        """Whatever becomes of it: no error goes to an address that is no single other machine's."""
        for source in NOBODY[rig.family.number]:
            packet = rig.arrived(src=source, ttl=1) / UDP(sport=rig.port(), dport=5001)
            assert run(rig, None, packet)[0] != REDIRECT, source

    def test_about_multicast(self, rig):
        for dst in MULTICAST[rig.family.number]:
            silent(rig, rig.a, rig.sent(rig.a, dst, ttl=1) / UDP(sport=5353, dport=5353), "multicast")
