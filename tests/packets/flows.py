# SPDX-License-Identifier: GPL-2.0-only
"""Flows between an endpoint and the outside, by any protocol that has NAT ports; every packet is compared whole.

The "port" of an ICMP query is its identifier, as in the datapath; it has no second one, so `dport` says nothing there.
"""
import struct

from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from bpf import REDIRECT, SHOT, inside
from rig import expect, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR

PROTOS = ("tcp", "udp", "icmp")
PORT_OFFSETS = {"tcp": 34, "udp": 34, "icmp": 38}
SERVERS = [(OUTSIDE_FAR, 80), (OUTSIDE_FAR, 81), ("203.0.113.3", 80), ("192.0.2.77", 443)]


def message(proto, sport, dport, answer=False, flags=None):
    if proto == "icmp":
        return ICMP(type=0, id=dport) / Raw(b"ping") if answer else ICMP(id=sport) / Raw(b"ping")
    if proto == "tcp":
        return TCP(sport=sport, dport=dport, seq=7, ack=9, flags=flags or ("SA" if answer else "S"))
    return UDP(sport=sport, dport=dport) / Raw(b"payload")


def first_packet(rig, node, proto, port, server=SERVERS[0], **more):
    return rig.sent(node, server[0]) / message(proto, port, server[1], **more)


def port_of(proto, frame):
    """Its source port."""
    return struct.unpack_from("!H", frame, PORT_OFFSETS[proto])[0]


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
    return rig.arrived(address, server[0]) / message(proto, server[1], nat_port, answer=True, **more)


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
        verdict, out = rig.from_endpoint(node, packet)
    assert verdict == SHOT or Ether(out)[IP].dst == node.address


def prohibited(rig, node, packet):
    """Instead of going its way the packet comes back, in an ICMP error 3/13 of the gateway's."""
    verdict, out = rig.from_endpoint(node, packet)
    error = Ether(out)
    assert (verdict, error.dst, error[ICMP].type, error[ICMP].code) == (REDIRECT, node.mac, 3, 13)
    assert (error[IP].src, error[IP].dst) == (node.netns.info["gateway"], node.address)
    assert bytes(error[ICMP])[8:] == bytes(packet[IP])


class Flood:
    """First packets of an endpoint's, or of the outside's, as fast as they can be made: only the ports differ."""

    def __init__(self, rig, packet, node=None):
        self.netns = rig.host.path
        program = rig.programs["from_endpoint" if node else "from_uplink"]
        self.run = program.prepare(packet, (node or rig.uplink).ifindex)

    def send(self, ports):
        """By (source port, destination port); returns the verdicts, in order."""
        verdicts = []
        with inside(self.netns):
            for sport, dport in ports:
                struct.pack_into("!HH", self.run.data, 34, sport, dport)
                verdicts.append(self.run())
        return verdicts
