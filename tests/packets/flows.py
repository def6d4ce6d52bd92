# SPDX-License-Identifier: GPL-2.0-only
"""Flows between an endpoint and the outside, by any protocol that has NAT ports; every packet is compared whole.

The "port" of an ICMP query is its identifier, as in the datapath; it has no second one, so `dport` says nothing there.
"""
import struct

from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, SHOT, inside
from siblings import FAMILIES
from rig import expect, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR

ETHERNET, ICMP_LENGTH = 14, 8
PROTOS = ("tcp", "udp", "icmp")
SERVERS = [(OUTSIDE_FAR, 80), (OUTSIDE_FAR, 81), ("203.0.113.3", 80), ("192.0.2.77", 443)]


def message(rig, proto, sport, dport, answer=False, flags=None):
    if proto == "icmp":
        return rig.family.ping(dport if answer else sport, answer=answer) / Raw(b"ping")
    if proto == "tcp":
        return TCP(sport=sport, dport=dport, seq=7, ack=9, flags=flags or ("SA" if answer else "S"))
    return UDP(sport=sport, dport=dport) / Raw(b"payload")


def first_packet(rig, node, proto, port, server=SERVERS[0], **more):
    return rig.sent(node, server[0]) / message(rig, proto, port, server[1], **more)


def port_of(proto, frame):
    """Its source port; or the identifier of an echo."""
    return struct.unpack_from("!H", frame, ports_offset(frame) + (4 if proto == "icmp" else 0))[0]


def ports_offset(frame):
    """In one without options."""
    return ETHERNET + FAMILIES[frame[ETHERNET] >> 4].header_size


def renamed(proto, end, port):
    """What translated() calls a source or destination port ("sport", "dport") of this protocol."""
    return {"id" if proto == "icmp" else end: port}


def open_flow(rig, node, proto, port, server=SERVERS[0], address=HOST_ADDRESS, **more):
    """A packet to the outside, as it has to leave; returns its NAT port."""
    packet = first_packet(rig, node, proto, port, server, **more)
    result = rig.from_endpoint(node, packet)
    assert result[0] == REDIRECT, result
    chosen = port_of(proto, result[1])
    expect(result, REDIRECT, translated(packet, src=address, **renamed(proto, "sport", chosen)))
    return chosen


def from_outside(rig, proto, nat_port, server=SERVERS[0], address=HOST_ADDRESS, **more):
    return rig.arrived(address, server[0]) / message(rig, proto, server[1], nat_port, answer=True, **more)


def answer(rig, node, proto, port, nat_port, server=SERVERS[0], **more):
    """The server's answer, which has to arrive at the endpoint's own port."""
    packet = from_outside(rig, proto, nat_port, server, **more)
    with rig.dropped():
        expect(rig.from_uplink(packet), REDIRECT,
               translated(packet, rig.to(node), dst=node.address, **renamed(proto, "dport", port)))


def assured(rig, node, proto, port, server=SERVERS[0]):
    """A connection that has been answered, and so gives way to nobody; its NAT port."""
    chosen = open_flow(rig, node, proto, port, server)
    answer(rig, node, proto, port, chosen, server)
    if proto == "tcp":
        open_flow(rig, node, proto, port, server, flags="A")
    return chosen


def refused(rig, node, packet, reason):
    """Dropped for that reason; what ICMP tells the sender may be silenced by its rate, so it is not looked at here."""
    with rig.dropped(reason):
        verdict, out = rig.from_endpoint(node, packet, summed=False)
    assert verdict == SHOT or Ether(out).payload.dst == node.address


def prohibited(rig, node, packet):
    """Instead of going its way the packet comes back, in an ICMP error of the gateway's that says so."""
    is_error(rig, rig.from_endpoint(node, packet), "prohibited", packet, rig.to(node), node.gateway)


def is_error(rig, result, kind, packet, ether=None, source=None):
    """An ICMP error to the sender of this packet, about it; from the address that it was sent to, or another."""
    verdict, out = result
    frame, (number, code, _) = Ether(out), rig.family.kinds[kind]
    assert verdict == REDIRECT and (ether is None or frame.dst == ether.dst)
    assert (frame.payload.src, frame.payload.dst) == (source or packet.payload.dst, packet.payload.src)
    icmp = bytes(frame.payload.payload)
    assert (icmp[0], icmp[1]) == (number, code)
    assert icmp[ICMP_LENGTH:] == bytes(packet.payload)[:len(icmp) - ICMP_LENGTH]


class Flood:
    """First packets of an endpoint's, or of the outside's, as fast as they can be made: only the ports differ."""

    def __init__(self, rig, packet, node=None):
        self.netns = rig.host.path
        program = rig.programs["from_endpoint" if node else "from_uplink"]
        self.run = program.prepare(packet, (node or rig.uplink).ifindex)
        self.ports = ports_offset(bytes(packet))

    def send(self, ports):
        """By (source port, destination port); returns the verdicts, in order."""
        verdicts = []
        with inside(self.netns):
            for sport, dport in ports:
                struct.pack_into("!HH", self.run.data, self.ports, sport, dport)
                verdicts.append(self.run())
        return verdicts
