# SPDX-License-Identifier: GPL-2.0-only
"""ICMP errors as their reporter sends them, and as the sender of the quoted packet has to get them.

A Flow is one packet as both of its ends know it: `sent` by its sender, `seen` by its receiver, either built from
scratch. An error about it comes from the receiver's side and quotes `seen`; the sender has to get it quoting `sent`.
That holds for every way through nsbpf, in both directions.
"""
import contextlib
import struct

from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, Map
from rig import SECOND_ADDRESS, expect, l4_of
from siblings import rebuilt
from state import packed
from topology import HOST_ADDRESS, OUTSIDE_FAR

ROUTER = "192.0.2.77"  # beyond the uplink, on the way
ETHERNET, ICMP_LENGTH, HALF_OF_CHECKSUM = 14, 8, 17
KINDS = ("network unreachable", "host unreachable", "port unreachable", "too big", "prohibited", "ttl exceeded",
         "reassembly time exceeded", "parameter problem")

# name: (rig, sport, dport, is it an answer) → what is in the packet. Of a ping's two "ports" one is 0: see struct tuple.
L4S = {
    "tcp": lambda rig, s, d, answer: TCP(sport=s, dport=d, flags="SA" if answer else "S", seq=7,
                                         options=[("MSS", 1460)]),
    "udp": lambda rig, s, d, answer: UDP(sport=s, dport=d) / Raw(b"question"),
    "udp without checksum": lambda rig, s, d, answer: UDP(sport=s, dport=d, chksum=0) / Raw(b"question"),
    "ping": lambda rig, s, d, answer: rig.family.ping(s | d, answer=answer) / Raw(b"ping"),
}

# name: (client, server, the address that is exposed); "-" is the outside
WAYS = {
    "masquerade": ("a", "-", None), "exposed": ("-", "a", HOST_ADDRESS), "exposed elsewhere": ("-", "b", SECOND_ADDRESS),
    "hairpin": ("b", "a", HOST_ADDRESS), "hairpin elsewhere": ("a", "b", HOST_ADDRESS),
    "hairpin to oneself": ("a", "a", HOST_ADDRESS), "hairpin across networks": ("c", "a", HOST_ADDRESS),
}
# The port that is exposed, and what it leads to; 53 of the outside's servers.
EXPOSED = {("a", "tcp"): (5000, 5000), ("a", "udp"): (5001, 5001), ("b", "tcp"): (5400, 80), ("b", "udp"): (5400, 80),
           ("-", "tcp"): (53, 53), ("-", "udp"): (53, 53), ("-", "ping"): (0, 0)}


class Flow:
    """sender and receiver are Nodes, None for the outside; ends are (src, dst, sport, dport)."""

    def __init__(self, rig, build, sender, receiver, sent_ends, seen_ends, answer=False, **fields):
        self.rig, self.build, self.fields = rig, build, fields
        self.sender, self.receiver = sender, receiver
        self.sent_ends, self.seen_ends = sent_ends, seen_ends
        ether = rig.out(sender) if sender else rig.wan()
        self.sent = self._packet(ether, sent_ends, 64, answer)
        # A packet to the outside keeps its Ethernet header here: bpf_redirect_neigh() is yet to write another.
        self.seen = self._packet(rig.to(receiver) if receiver else ether, seen_ends, 63, answer)

    def _packet(self, ether, ends, ttl, answer):
        src, dst, sport, dport = ends
        ip = self.rig.ip(src, dst, ttl=ttl, **self.fields)
        return Ether(bytes(ether / ip / self.build(self.rig, sport, dport, answer)))

    def run(self):
        """The packet itself, and every byte of it arrives."""
        expect(run(self.rig, self.sender, self.sent), REDIRECT, self.seen)
        return self

    def answer(self):
        return Flow(self.rig, self.build, self.receiver, self.sender, turned(self.seen_ends), turned(self.sent_ends),
                    True, **self.fields).run()

    def carrying(self, build):
        """One more packet of this direction."""
        return Flow(self.rig, build, self.sender, self.receiver, self.sent_ends, self.seen_ends)

    def error(self, kind="port unreachable", size=None, source=None, chksum=None, tail=b"", edit=lambda ip: None,
              **fields):
        """An error about the packet, quoting `size` bytes of it: as its reporter sends it, as the sender has to get it.

        `source` is a router's on the way, if it is not the receiver's own; `fields` are of the error's IP header,
        `edit` is what befell the packet on its way, `tail` what follows the quote.
        """
        quotes = []
        for packet in (self.sent, self.seen):
            packet = packet.copy()
            setattr(packet.payload, "ttl" if packet.payload.version == 4 else "hlim", 61)
            edit(packet.payload)
            quotes.append(rebuilt(packet)[ETHERNET:][:size])
        sent, seen = quotes
        # A quote that ends in the middle of the TCP checksum: nobody can translate half of one.
        if TCP in self.seen and len(seen) == len(self.seen.payload) - len(self.seen[TCP]) + HALF_OF_CHECKSUM:
            sent = sent[:-1] + seen[-1:]
        fields = {"ttl": 63, "id": 1234, "tos": 0xc0, "proto": self.rig.family.icmp, **fields}
        ether = self.rig.out(self.receiver) if self.receiver else self.rig.wan()
        given = ether / self.rig.ip(source or self.seen_ends[1], self.seen_ends[0], **fields)
        ether = self.rig.to(self.sender) if self.sender else ether
        fields["ttl"] -= 1
        wanted = ether / self.rig.ip(source or self.sent_ends[1], self.sent_ends[0], **fields)
        return (given / message(self.rig, kind, seen + tail, chksum),
                wanted / message(self.rig, kind, sent + tail))

    def report(self, error):
        return run(self.rig, self.receiver, error)

    def keys(self):
        """Of the connection's two entries: the one that this packet met, and its answers'."""
        return [key(self.proto, self.sent_ends), key(self.proto, turned(self.seen_ends))]

    @property
    def proto(self):
        """The number of what is behind IP."""
        return self.sent.payload.proto if self.sent.payload.version == 4 else self.sent.payload.nh


def opened(rig, way, name="udp", answer=False, **fields):
    """The first packet of a new connection, or the answer to it, that has passed."""
    client, server, address = WAYS[way]
    client, target = (getattr(rig, node, None) for node in (client, server))
    far, address = map(rig.family.address, (OUTSIDE_FAR, address or OUTSIDE_FAR))
    asked, served = EXPOSED[server, name.split()[0]]
    sent_ends = (client.address if client else far, address, rig.port(), asked)
    seen_ends = (sent_ends[0], target.address if target else far, sent_ends[2], served)
    if client:
        first = Flow(rig, L4S[name], client, target, sent_ends, seen_ends, **fields)
        out = Ether(run(rig, client, first.sent)[1])
        port = l4_of(out).id if name == "ping" else l4_of(out).sport
        seen_ends = (out.payload.src, seen_ends[1], port, served)
        assert seen_ends[0] == rig.uplink.address
    flow = Flow(rig, L4S[name], client, target, sent_ends, seen_ends, **fields).run()
    return flow.answer() if answer else flow


def run(rig, node, packet, **ctx):
    return rig.from_endpoint(node, packet, **ctx) if node else rig.from_uplink(packet, **ctx)


@contextlib.contextmanager
def open_networks(rig):
    """Both of the rig's networks talk to each other for so long."""
    for network in ("default", "other"):
        rig.host.nsbpf("network", "set", network, "--isolate", "off")
    try:
        yield
    finally:
        for network in ("default", "other"):
            rig.host.nsbpf("network", "set", network, "--isolate", "on")


def message(rig, kind, quote, chksum=None):
    """An ICMP message, with the checksum that scapy computes or with a given one.

    `kind` is one of KINDS, or it is "too big" and the MTU, or (type, code, second word).
    """
    if isinstance(kind, str):
        kind = rig.family.kinds[kind]
    elif isinstance(kind[0], str):
        kind = rig.family.kinds[kind[0]][:2] + kind[1:]
    return rig.family.icmp_message(kind, quote, chksum)


def turned(ends):
    src, dst, sport, dport = ends
    return dst, src, dport, sport


def key(proto, ends):
    """struct tuple"""
    src, dst, sport, dport = ends
    return packed(src) + packed(dst) + struct.pack("!HHB3x", sport, dport, proto)


def forget_rates(rig):
    """As if no error had been made yet."""
    rates = Map(f"{rig.pins}/maps/icmp_rates", 4, 8)
    for index in rates.keys():
        rates.update(index, bytes(8))
    rates.close()
