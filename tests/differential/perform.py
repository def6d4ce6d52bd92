# SPDX-License-Identifier: GPL-2.0-only
"""Performs a script on one side, and tells what arrived, in words that do not depend on the side.

What may differ between the sides is left out: MACs, the NAT port that was chosen ("nat"), and the numbers of IP
datagrams that the host itself makes ("own"). Datagrams are put together first: who fragments where is nobody's concern.
A script is performed by IPv4 or by IPv6; what is told of it is told in IPv4's words, see formats.py.
"""
import hashlib

from datagrams import defragment, is_error, is_fragment, piece, ports, protocol, upper, wrong_checksums
from scapy.layers.inet import TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from taps import CHECKSUM_FIELD, ETHER_SIZE

ROUTER = "198.51.100.2"
STRANGER = "203.0.113.77"
OTHER = {"client": "server", "server": "client"}
FRAGMENT_SIZE = 1480  # a script's


def payload_of(size, number):
    return bytes((number + index) % 256 for index in range(size))


class Performance:
    def __init__(self, side, script, form):
        self.side, self.script, self.form = side, script, form
        self.nodes = [{"client": flow.client, "server": flow.server} for flow in script.flows]
        self.seen = {}           # (flow, side) → the last packet that this side got from the other
        self.nat = set()         # (flow, address, port): a client's, as others saw it
        self.sent = []           # every datagram, by whomever
        self.unfinished = set()  # datagram numbers of those whose checksum was left to the device
        self.trace = []          # for each step the records of what arrived

    def run(self):
        self.side.reset()
        self.side.settle()
        for number, step in enumerate(self.script.steps):
            packet = self.build(number, step)
            arrived = []
            if packet:
                self.send(step, packet)
                for node, frames in self.side.settle().items():
                    packets = [Ether(frame).payload for frame in frames]
                    arrived += [(node, packet) for packet in defragment(packets)]
            self.notice(step, arrived)
            self.trace.append([self.record(step, node, packet) for node, packet in arrived])
        return self.trace

    # to send
    def build(self, number, step):
        """The datagram of a step; None if its sender has not heard of the other side."""
        flow = self.script.flows[step.flow]
        last = self.seen.get((step.flow, "client" if step.side == "client" else "server"))
        ip = {"id": 1000 + number, **step.ip}
        form = self.form
        if step.quote is not None:
            if not last:
                return None
            quoted = bytes(last)[:form.header_size(last) + step.quote]
            source = ROUTER if step.router else last.dst
            return form.header(source, last.src, **ip) / form.error(**step.fields) / Raw(quoted)
        if step.side == "client":
            src, sport, dst, dport = flow.address, flow.port, flow.to, flow.to_port
        elif not last:
            return None
        else:
            src, dst = last.dst, last.src
            dport, sport = ports(last)
            if step.side == "stranger":
                # a port of its own each time: nsbpf remembers who has asked, for seconds
                src, sport = STRANGER, 1024 + self.script.seed % 60000
        fields = dict(step.fields)
        if not form.checksum_may_be_none:
            fields.pop("chksum", None)
        if flow.proto == "icmp":
            l4 = form.ping(id=sport or dport, **{"type": 8, **fields})
        elif flow.proto == "tcp":
            l4 = TCP(sport=sport, dport=dport, **{**fields, "options": list(fields.get("options", ()))})
        else:
            l4 = UDP(sport=sport, dport=dport, **fields)
        size = step.size
        if step.fragments:  # as many as of IPv4
            size -= len(step.fragments) * (FRAGMENT_SIZE - form.fragment_size)
        return form.header(src, dst, **ip) / l4 / Raw(payload_of(size, number))

    def send(self, step, packet):
        node = self.nodes[step.flow].get(step.side, "outside")
        whole = bytes(self.side.ether(node, packet.dst) / packet)
        self.sent.append(self.form.IP(whole[ETHER_SIZE:]))
        tap = self.side.taps[node]
        if step.fragments:
            pieces = self.form.fragments(Ether(whole), self.form.ident(packet), self.form.fragment_size)
            self.sent += [self.form.IP(bytes(part)[ETHER_SIZE:]) for part in pieces]
            for index in step.fragments:
                tap.send(pieces[index])
        elif step.partial:
            self.unfinished.add(self.form.ident(packet))
            tap.send_partial(whole)
        else:
            tap.send(whole)

    # that arrived
    def notice(self, step, arrived):
        """Whom each side now knows the other by."""
        other = OTHER.get(step.side)
        flow = self.script.flows[step.flow]
        for node, packet in arrived:
            if not other or is_fragment(packet) or is_error(packet) or self.is_own(packet):
                continue
            if node == self.nodes[step.flow][other]:
                self.seen[step.flow, other] = packet
                if other == "server" and (self.form.said(packet.src), ports(packet)[0]) != (flow.address, flow.port):
                    self.nat.add((step.flow, packet.src, ports(packet)[0]))

    def is_own(self, packet):
        """Made by the host itself."""
        return self.form.ident(packet) != self.form.ident(self.sent[-1])

    def end(self, step, address, port):
        return f"{self.form.said(address)}:{'nat' if (step.flow, address, port) in self.nat else port}"

    def source(self, step, address, port):
        """A NAT port may have the number of the exposed port."""
        flow = self.script.flows[step.flow]
        if step.side == "server" and (self.form.said(address), port) == (flow.to, flow.to_port):
            return f"{flow.to}:{port}"
        return self.end(step, address, port)

    def role(self, step, node):
        """Who that is in this flow; where one node is both its ends, the one that is sent to."""
        nodes = self.nodes[step.flow]
        if step.side == "stranger" and node == "outside":
            return step.side
        return next((side for side in (OTHER.get(step.side), "server", "client") if nodes.get(side) == node), node)

    def record(self, step, node, packet):
        """What arrived where, field by field; equal records are equal packets."""
        ends = {"from": self.form.said(packet.src), "to": self.form.said(packet.dst)}
        fields = {"at": self.role(step, node), **self.form.fields(packet),
                  "id": "own" if self.is_own(packet) else self.form.ident(packet),
                  "wrong checksums": wrong_checksums(packet)}
        if is_fragment(packet):
            return {**fields, "what": f"fragment {protocol(packet)} {piece(packet)[0]}", **ends}
        if is_error(packet):
            return {**fields, **ends, **self.error(packet, step.quote is None)}
        sport, dport = ports(packet)
        fields["from"], fields["to"] = self.source(step, packet.src, sport), self.end(step, packet.dst, dport)
        if TCP in packet:
            tcp = packet[TCP]
            fields |= {"what": f"tcp {tcp.flags}", "seq": tcp.seq, "ack": tcp.ack, "window": tcp.window,
                       "options": str(tcp.options)}
            data = bytes(tcp.payload)
        elif UDP in packet:
            fields |= {"what": "udp", "checksum": packet[UDP].chksum != 0}
            data = bytes(packet[UDP].payload)
        else:
            ping = upper(packet)
            kind, code = self.form.icmp(bytes(ping))
            fields |= {"what": f"icmp {kind}/{code}", "seq": ping.seq}
            data = bytes(ping)[8:]
        return {**fields, "size": len(data), "data": hashlib.sha1(data).hexdigest()[:8]}

    def error(self, packet, of_host):
        """An ICMP error has to quote what its receiver once sent, as far as it quotes."""
        icmp = bytes(packet.payload)
        quoted = icmp[8:]
        kind, code = self.form.icmp(icmp)
        fields = {"what": f"icmp {kind}/{code}{' of the host' if of_host else ''}", "rest": icmp[4:8].hex(),
                  "quoted": len(quoted)}
        if any(self.same_datagram(quoted, sent) for sent in self.sent):
            return fields
        return {**fields, "quote": self.form.IP(quoted).summary()}

    def same_datagram(self, quoted, sent):
        """Nobody has to finish the checksum of a packet that is only quoted."""
        unfinished = self.form.ident(sent) in self.unfinished
        hole = self.form.header_size(sent) + CHECKSUM_FIELD[type(sent.payload)] if unfinished else len(sent)
        return self.form.still(quoted, hole) == self.form.still(bytes(sent)[:len(quoted)], hole)
