# SPDX-License-Identifier: GPL-2.0-only
"""Where the rows happen, and their words.

      a 10.80.0.2 --+                                           +-- the router, 198.51.100.2
                    |--- host --- up0 ============ wan0 --------|
      b 10.80.0.3 --+    198.51.100.1                           +-- SERVERS behind it, 203.0.113.x
                         the NAT

a, b and everything outside are Machines (machines.py). Whatever the NAT lets through is compared byte by byte with what
was sent: only the ends may differ, TTL is one less, and every checksum has to be what scapy makes of the packet.
"""
import contextlib
import itertools
import time

from row_flows import Flow
from machines import TCP_CHECKSUM, Machine, destination, ends, is_error, same, source, unsummed
from rig import GATEWAY_MAC, translated
from scapy.layers.inet import ICMP, IP, TCP
from scapy.layers.l2 import Ether
from table import check
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, Host

SERVERS = ("203.0.113.2", "203.0.113.3", "203.0.113.4")
SERVICE = 53    # a port of theirs
EXPOSED = 8080  # one of the host
ROUTER = OUTSIDE_ADDRESS
FENCE = b"fence"
GRACE = 0.05


class Net:
    """One host with its NAT, two endpoints and the outside, all of its own."""

    def __init__(self, kind, external=None, addresses=(), **options):
        with contextlib.ExitStack() as stack:
            self.host = stack.enter_context(Host())
            self.external = external or HOST_ADDRESS
            if external:
                self.host.ip_batch("address flush dev up0", f"address add {external}/32 dev up0",
                                   f"route replace default via {ROUTER} dev up0 onlink")
            self.externals = (self.external, *addresses)
            for address in addresses:
                self.host.ip("address", "add", f"{address}/24", "dev", "up0")
            # The packets of the host's own stack, too, are to be complete when they are seen.
            self.host.run("ethtool", "-K", "up0", "tx", "off")
            self.outside = stack.enter_context(contextlib.closing(Machine(self.host.outside, "wan0", ROUTER)))
            self.host.ip("neighbour", "replace", ROUTER, "lladdr", self.outside.mac, "dev", "up0", "nud", "permanent")
            self.outside.next_hop, self.outside.host = self.host.link("up0")["address"], self.external
            self.nat = stack.enter_context(contextlib.closing(kind(self.host, **options)))
            self.machines = [self.outside]
            self._identifiers = itertools.count(1)
            self._stack = stack
            self.a, self.b = self.add("a"), self.add("b")
            self._stack = stack.pop_all()

    def add(self, short, **options):
        netns, address, gateway = self.nat.add(short, **options)
        netns.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        machine = self._stack.enter_context(contextlib.closing(Machine(netns, "eth0", address)))
        machine.next_hop, machine.host = GATEWAY_MAC, gateway
        self.machines.append(machine)
        return machine

    def another(self, **options):
        """One more host with a NAT of the same kind."""
        return self._stack.enter_context(Net(type(self.nat), **options))

    def close(self):
        self._stack.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # packets
    def packet(self, sender, src, dst, payload, **fields):
        """From one address to another, as the sender's device sends it. It is known again by its identifier."""
        header = IP(src=src, dst=dst, id=next(self._identifiers), **fields)
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
        sender.send(self.packet(sender, src, sender.host, ICMP(type=8) / FENCE))
        end = time.monotonic() + 5
        while not any(is_fence(frame) and frame[IP].dst == src for frame in sender.seen[sender.mark:]):
            assert time.monotonic() < end, "the host does not answer"
            sender.wait(0.1)
            sender.collect()
        for machine in self.machines:
            machine.collect()

    def news(self, machine):
        """What arrived there since the last send()."""
        machine.collect()
        return [frame for frame in machine.seen[machine.mark:] if IP in frame and not is_fence(frame)]

    def carried(self, packet, machine):
        """The packet that was sent last as the machine got it, or None."""
        got = self.find(machine, lambda frame: not is_error(frame) and is_same_packet(frame, packet))
        if got:
            check(got[Ether].dst == machine.mac, f"arrived for the MAC {got[Ether].dst}")
            same(got, translated(packet, got[Ether], **ends(source(got), destination(got), got)))
        return got

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
        segments = [frame for frame in self.news(self.outside) if frame[IP].dst == packet[IP].dst]
        for segment in segments:
            same(segment, unsummed(segment), "a segment")
        data = b"".join(bytes(segment[TCP].payload) for segment in segments)
        check(data in (b"", bytes(packet[TCP].payload)), "the segments are not what was sent")
        return [len(segment[TCP].payload) for segment in segments]

    def made_error(self, machine, packet, unfinished=False):
        """The ICMP error that the NAT itself made of the last packet sent, a right one, or None.

        An unfinished packet is partial(): its checksum was on no wire, and so may be anything in the quote.
        """
        error = self.find(machine, is_error)
        if error:
            same(error, unsummed(error), "an error")
            quote, original = bytes(error[ICMP].payload), bytes(packet[IP])
            if unfinished:
                at = packet[IP].ihl * 4 + TCP_CHECKSUM
                original = original[:at] + quote[at:at + 2] + original[at + 2:]
            check(len(quote) >= len(IP()) + 8 and original.startswith(quote), "the error quotes something else")
            check(error[IP].src == machine.host, f"the error comes from {error[IP].src}")
        return error

    # flows
    def flow(self, proto, near, port, server=SERVERS[0], server_port=SERVICE, far=None):
        """What an endpoint's port and a server have to say to each other, or an endpoint and another (far)."""
        return Flow(self, proto, near, (near.address, port), far or self.outside, (server, server_port))

    def inbound(self, proto, client, target, far):
        """The same, begun outside by a client's (address, port), with a NAT port or an exposed one."""
        return Flow(self, proto, self.outside, client, far, target)

    def open(self, *words, ip=None):
        """A flow whose first packet went out."""
        flow = self.flow(*words)
        check(flow.out(ip=ip), f"the first {flow.proto} packet of a flow was dropped")
        return flow


def is_fence(frame):
    return ICMP in frame and bytes(frame[ICMP].payload) == FENCE


def is_same_packet(frame, packet):
    return frame[IP].proto == packet[IP].proto and frame[IP].id == packet[IP].id
