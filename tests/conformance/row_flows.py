# SPDX-License-Identifier: GPL-2.0-only
"""A flow through the NAT, and the ICMP errors about its packets."""
import itertools
import secrets

from machines import destination, headers_size, is_error, l4, name, same, source, unsummed
from rig import translated
from row_families import spelt
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from table import check

OUT, BACK = "out", "back"


class Flow:
    """From `near`, at the address and port `inner`, to `peer`, as near calls what the machine `far` gets.

    far sees near as `nat`, and itself as `there`: that is peer, unless it is known by an exposed port or by a NAT port.
    """

    def __init__(self, net, proto, near, inner, far, peer):
        self.net, self.proto, self.near, self.far = net, proto, near, far
        self.inner = inner
        self.peer = self.there = (peer[0], 0 if proto == "icmp" else peer[1])
        self.nat = None
        self.sent = None     # the last packet, whatever became of it
        self.tried = None    # between which moments the last packet was sent,
        self.touched = None  # and the last one that went through
        self.last = {}       # direction: the last packet, as it was sent and as it arrived
        self._first = {OUT: secrets.randbits(31), BACK: secrets.randbits(31)}
        self._next = dict(self._first)
        self._begun = set()
        self._numbers = itertools.count(1)

    def out(self, flags=None, **how):
        """Sends a packet: the first SYN, then data, unless TCP flags say what. Returns it as far got it, or None."""
        got = self._send(OUT, self.compose(OUT, flags, **how))
        if got:
            check(self.nat in (None, source(got)), f"became {name(source(got))} in mid-flow")
            self.nat, self.there = source(got), destination(got)
            self._check_ends()
        return got

    def _check_ends(self):
        """What has to be so of any flow; what an endpoint sees of another is for the rows to say."""
        if self.far is self.net.outside:
            check(self.nat[0] in self.net.externals, f"left as {name(self.nat)}")
            check(self.there == self.peer, f"for {name(self.peer)}, but left for {name(self.there)}")
        if self.near is self.net.outside:
            check(self.nat == self.inner, f"{name(self.inner)} came in as {name(self.nat)}")

    def back(self, flags=None, **how):
        """far's answer: the SYN's first, then data. Returns it as near got it, or None."""
        got = self._send(BACK, self.compose(BACK, flags, **how))
        if got:
            check((source(got), destination(got)) == (self.peer, self.inner),
                  f"an answer came from {name(source(got))} to {name(destination(got))}")
        return got

    def establish(self):
        """A handshake, or a question and an answer. None of it may be lost."""
        check((OUT in self._begun or self.out()) and self.back() and self.out("A" if self.proto == "tcp" else None),
              f"{self.proto} could not be established")
        return self

    def deliver(self, frame):
        """What another host's NAT made of a packet, from far to near. Returns it as near got it, or None."""
        packet = unsummed(frame)
        packet[Ether].src, packet[Ether].dst = self.far.mac, self.far.next_hop
        return self._send(BACK, packet)

    def compose(self, direction, flags=None, data=16, form=None):
        """A packet as it is sent in this direction, with so many bytes of data; for its form see row_families.py."""
        sender, src, dst = (self.near, self.inner, self.peer) if direction == OUT else (self.far, self.there, self.nat)
        data = Raw(secrets.token_bytes(data))
        if self.proto == "udp":
            layer = UDP(sport=src[1], dport=dst[1]) / data
        elif self.proto == "icmp":
            ping = self.net.family.request if direction == OUT else self.net.family.reply
            layer = ping(id=src[1] or dst[1], seq=next(self._numbers)) / data
        else:
            flags = flags or ("PA" if direction in self._begun else "S" if direction == OUT else "SA")
            layer = self._segment(direction, flags, src[1], dst[1])
            layer = layer / data if "P" in flags else layer
        return self.net.packet(sender, src[0], dst[0], layer, form)

    def _segment(self, direction, flags, sport, dport):
        seq = (self._first if "S" in flags else self._next)[direction]
        ack = self._next[BACK if direction == OUT else OUT] if "A" in flags else 0
        return TCP(sport=sport, dport=dport, flags=flags, seq=seq, ack=ack, window=65535)

    def _send(self, direction, packet):
        sender, receiver = (self.near, self.far) if direction == OUT else (self.far, self.near)
        self.sent, self.tried = packet, self.net.send(sender, packet)
        got = self.net.carried(packet, receiver)
        if got:
            self.touched = self.tried
            self.last[direction] = packet, got
            self._begun.add(direction)
            if TCP in got:
                flags = got[TCP].flags
                self._next[direction] = got[TCP].seq + len(got[TCP].payload) + bool(flags.S) + bool(flags.F)
        return got

    def error(self, direction, kind, reporter=None, cut=None, spoil=None, mtu=0):
        """An ICMP error about the last packet of a direction, from its receiver or a router on the way (reporter).

        `kind`: type and code; `cut`: how many bytes of the packet's TCP, UDP or ICMP it quotes; `spoil`: whose checksum
        is wrong, its own ("outer") or the quoted packet's ("inner"). Returns it as the packet's sender got it, about
        its own packet, and all right but for what was spoilt; or None.
        """
        sent, got = self.last[direction]
        src, dst, known_as, sender, receiver, target = (
            (self.there, self.nat, self.peer, self.far, self.near, self.inner) if direction == OUT else
            (self.inner, self.peer, self.nat, self.near, self.far, self.there))
        if reporter:
            src = known_as = (reporter, 0)
            sender = self.net.outside
        quote = quoted(got, cut)
        if spoil == "inner":
            quote = spoilt(got, quote)

        def message(quote):
            return self.net.family.error_message(kind, quote, mtu)
        packet = self.net.packet(sender, src[0], dst[0], message(quote))
        self.net.send(sender, wrong(packet) if spoil == "outer" else packet)
        frame = self.net.find(receiver, lambda frame: is_error(frame) and self.net.is_same(frame, packet))
        if frame:
            wanted = packet.copy()
            wanted.payload.remove_payload()
            wanted /= message(bytes(l4(frame))[8:] if spoil == "inner" else
                              quoted(translated(sent, ttl=self.net.family.hops(got) - self.net.family.hops(sent)), cut))
            same(frame, translated(wanted, frame, src=known_as[0], dst=target[0]),
                 f"{spelt(self.net.family, kind)} about {self.proto}")
        return frame


def quoted(packet, cut):
    return bytes(packet.payload)[:headers_size(packet) + cut if cut else None]


def spoilt(packet, quote):
    """The quote with a wrong checksum of the quoted TCP, UDP or ICMP."""
    at = headers_size(packet) + {TCP: 16, UDP: 6}.get(type(l4(packet)), 2)
    return quote[:at] + bytes([quote[at] ^ 0x55]) + quote[at + 1:]


def wrong(packet):
    """With a wrong ICMP checksum."""
    frame = bytes(packet)
    at = len(frame) - len(packet.payload.payload) + 2
    return frame[:at] + b"\x0b\xad" + frame[at + 2:]
