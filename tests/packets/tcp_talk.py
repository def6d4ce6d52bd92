# SPDX-License-Identifier: GPL-2.0-only
"""TCP connections by script, one segment a step:

    > SA 0 1 +10 win=500 ws=7

`>` is the side that opened the connection, `<` the other one; then flags, sequence number and acknowledgement, each
relative to where its side began; bytes of payload; the window, and its scale, as they are in the header. Every segment
has to arrive, whole and translated.
"""
from scapy.layers.inet import TCP
from scapy.packet import Raw

from bpf import REDIRECT
from rig import expect, translated
from topology import HOST_ADDRESS, OUTSIDE_FAR

WAYS = ("masqueraded", "exposed", "hairpin")
OPEN = "> S 0; < SA 0 1; > A 1 1; "


class Talk:
    def __init__(self, rig, way="masqueraded", began=(1000, 2000), node=None):
        self.rig, self.way, self.port = rig, way, rig.port()
        self.node = node or rig.a
        self.began = dict(zip("><", began))
        self.server_port = 80 if way == "masqueraded" else 5000

    def play(self, script):
        for step in script.split(";"):
            if step.strip():
                self._step(step.split())
        return self

    @property
    def key(self):
        """The original's, as State.key() wants it."""
        ends = {"masqueraded": (self.node.address, OUTSIDE_FAR), "exposed": (OUTSIDE_FAR, HOST_ADDRESS),
                "hairpin": (self.rig.b.address, HOST_ADDRESS)}[self.way]
        return (*ends, self.port, self.server_port, "tcp")

    def _step(self, words):
        direction, flags, *more = words
        numbers = [int(word) for word in more if "=" not in word and word[0] != "+"]
        named = dict(word.split("=") for word in more if "=" in word)
        payload = sum(int(word) for word in more if word[0] == "+")
        begins = self.began[direction], self.began["<" if direction == ">" else ">"]
        seq, ack = ((begin + number) % (1 << 32) for begin, number in zip(begins, (*numbers, 0)[:2]))
        ports = (self.port, self.server_port)[::1 if direction == ">" else -1]
        options = [("WScale", int(named["ws"]))] if "ws" in named else []
        segment = TCP(sport=ports[0], dport=ports[1], flags=flags.strip("-"), seq=seq, ack=ack if "A" in flags else 0,
                      window=int(named.get("win", 1000)), options=options)
        self._send(direction, segment / Raw(bytes(payload)) if payload else segment)

    def _send(self, direction, segment):
        rig, opens = self.rig, direction == ">"
        if self.way == "hairpin":
            sender, receiver = (rig.b, self.node) if opens else (self.node, rig.b)
            packet = rig.sent(sender, HOST_ADDRESS) / segment
            wanted = translated(packet, rig.to(receiver), src=HOST_ADDRESS, dst=receiver.address)
            expect(rig.from_endpoint(sender, packet), REDIRECT, wanted)
        elif opens == (self.way == "masqueraded"):
            packet = rig.sent(self.node, OUTSIDE_FAR) / segment
            expect(rig.from_endpoint(self.node, packet), REDIRECT, translated(packet, src=HOST_ADDRESS))
        else:
            packet = rig.arrived() / segment
            expect(rig.from_uplink(packet), REDIRECT, translated(packet, rig.to(self.node), dst=self.node.address))
