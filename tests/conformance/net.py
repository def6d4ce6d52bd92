# SPDX-License-Identifier: GPL-2.0-only
"""The rows' words: what is sent in a Scene (scene.py), and what arrives, in one family.

a, b and everything outside are Machines (machines.py). Whatever the NAT lets through is compared byte by byte with what
was sent: only the ends may differ, TTL or hop limit is one less, and every checksum has to be what scapy makes of the
packet.
"""
import contextlib
import itertools
import time

from row_flows import Flow
from machines import (TCP_CHECKSUM, Machine, destination, ends, first_segment, headers_size, is_error, l4, same, source,
                      unsummed)
from rig import GATEWAY_MAC, translated
from scapy.layers.inet import TCP
from scapy.layers.l2 import Ether
from table import check

SERVICE = 53    # a port of the servers
EXPOSED = 8080  # one of the host
FENCE = b"fence"
GRACE = 0.05


class Net:
    """One family's half of a Scene."""

    def __init__(self, scene, family):
        self.scene, self.family = scene, family
        self.host, self.nat = scene.host, scene.nat
        self.external, self.externals = scene.external[family], scene.externals[family]
        self.servers = family.servers
        self._identifiers = itertools.count(1)
        self.machines = []
        with contextlib.ExitStack() as self._stack:
            self.outside = self._machine(self.host.outside, "wan0", family.outside, self.external,
                                         self.host.link("up0")["address"])
            self.a, self.b = (self._endpoint(*scene.endpoints[short]) for short in ("a", "b"))
            self._stack = self._stack.pop_all()

    def _machine(self, *arguments):
        machine = self._stack.enter_context(contextlib.closing(Machine(self.family, *arguments)))
        self.machines.append(machine)
        return machine

    def _endpoint(self, netns, addresses):
        return self._machine(netns, "eth0", *addresses[self.family.number], GATEWAY_MAC)

    def add(self, **options):
        """One more endpoint, of this family's own."""
        with self.scene.alone():
            return self._endpoint(*self.scene.add(f"c{self.family.number}", **options))

    def expose(self, short, port, target, proto):
        self.scene.once(self.nat.expose, short, port, target, proto)

    def another(self):
        """One more host, elsewhere, with a NAT of the same kind."""
        return self._stack.enter_context(Net(self.scene.once(self.scene.another), self.family))

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # packets
    def packet(self, sender, src, dst, payload, form=None):
        """From one address to another, as the sender's device sends it. It is known again by its number."""
        header = self.family.header(src, dst, next(self._identifiers), form)
        return Ether(src=sender.mac, dst=sender.next_hop) / header / payload

    def send(self, sender, *packets, **how):
        """Returns when all that the packets cause has arrived: (just before, just after) they were sent."""
        for machine in self.machines:
            machine.mark = machine.collect()
        moments = sender.send(*packets, **how)
        self.settle(sender)
        return moments

    def settle(self, sender):
        """A ping that the host's own stack answers has overtaken nothing: what was before it is through."""
        src = sender.address
        sender.send(self.packet(sender, src, sender.host, self.family.request() / FENCE))
        end = time.monotonic() + 5
        while not any(is_fence(frame) and frame.payload.dst == src for frame in sender.seen[sender.mark:]):
            assert time.monotonic() < end, "the host does not answer"
            sender.wait(0.1)
            sender.collect()
        for machine in self.machines:
            machine.collect()

    def news(self, machine):
        """What arrived there since the last send()."""
        machine.collect()
        return [frame for frame in machine.seen[machine.mark:] if not is_group(frame) and not is_fence(frame)]

    def carried(self, packet, machine):
        """The packet that was sent last as the machine got it, or None."""
        got = self.find(machine, lambda frame: not is_error(frame) and self.is_same(frame, packet))
        if got:
            check(got.dst == machine.mac, f"arrived for the MAC {got.dst}")
            same(got, translated(packet, got, **ends(source(got), destination(got), got)))
        return got

    def is_same(self, frame, packet):
        return self.family.number_of(frame) == self.family.number_of(packet)

    def find(self, machine, wanted):
        """The first frame that arrived there since the last send() and is wanted, or None."""
        return self.eventually(lambda: next(filter(wanted, self.news(machine)), None))

    @staticmethod
    def eventually(found):
        """found(), once more if it was nothing: a CPU may still be busy with what another one has let pass."""
        got = found()
        if not got:
            time.sleep(GRACE)
        return got or found()

    def segments(self, packet):
        """What came out of the last GSO packet sent, each with right checksums: their sizes."""
        segments = [frame for frame in self.news(self.outside) if frame.payload.dst == packet.payload.dst]
        for segment in segments:
            same(segment, unsummed(segment), "a segment")
        data = b"".join(bytes(segment[TCP].payload) for segment in segments)
        check(data in (b"", bytes(packet[TCP].payload)), "the segments are not what was sent")
        return [len(segment[TCP].payload) for segment in segments]

    def made_error(self, machine, packet, gso_size=0):
        """The ICMP error that the NAT itself made of the last packet sent, a right one, or None.

        It quotes the packet as it was sent, or with one less in its TTL already; of a GSO packet it may quote the first
        segment, too. The checksum of that, a partial() one, was on no wire, and so may be anything.
        """
        error = self.find(machine, is_error)
        if error:
            same(error, unsummed(error), "an error")
            quote = bytes(l4(error))[8:]
            originals = [packet, first_segment(packet, gso_size)] if gso_size else [packet]
            originals = [bytes(one.payload) for original in originals for one in (original, translated(original))]
            if gso_size:
                at = headers_size(packet) + TCP_CHECKSUM
                originals = [original[:at] + quote[at:at + 2] + original[at + 2:] for original in originals]
            check(any(original.startswith(quote) for original in originals), "the error quotes something else")
            check(len(quote) >= self.family.quote_size(packet), f"the error quotes {len(quote)} bytes only")
            check(len(error.payload) <= self.family.error_limit, f"an error of {len(error.payload)} bytes")
            check(error.payload.src in (machine.host, *self.externals), f"the error comes from {error.payload.src}")
        return error

    # flows
    def flow(self, proto, near, port, server=None, server_port=SERVICE, far=None):
        """What an endpoint's port and a server have to say to each other, or an endpoint and another (far)."""
        return Flow(self, proto, near, (near.address, port), far or self.outside,
                    (server or self.servers[0], server_port))

    def inbound(self, proto, client, target, far):
        """The same, begun outside by a client's (address, port), with a NAT port or an exposed one."""
        return Flow(self, proto, self.outside, client, far, target)

    def open(self, *words, form=None):
        """A flow whose first packet went out."""
        flow = self.flow(*words)
        check(flow.out(form=form), f"the first {flow.proto} packet of a flow was dropped")
        return flow


def is_group(frame):
    """What the host's own stack tells its neighbours."""
    return bool(int(frame.dst[:2], 16) & 1)


def is_fence(frame):
    return bytes(l4(frame))[8:] == FENCE
