# SPDX-License-Identifier: GPL-2.0-only
"""What the tests of NAT bindings, floods and uplinks share: the programs of peers.py, and more of an outside."""
import json
import os

from families import FAMILIES, Family4
from processes import Agent

SERVERS = Family4.servers


class Peer(Agent):
    """A UDP socket that talks to many."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "peers.py")

    @property
    def port(self):
        return self.first["ready"]

    def send(self, address, port, text):
        self.process.stdin.write(f"{address} {port} {text}\n")
        self.process.stdin.flush()

    def has(self, text):
        return any(line.get("data") == text for line in self.lines)

    def got(self, text, timeout=5.0):
        """(address, port) of whoever sent this."""
        line, = self.wait(lambda line: line.get("data") == text, timeout=timeout)
        return line["peer"], line["port"]

    def ask(self, address, port, text):
        """As whom an echo server sees it: (address, port)."""
        self.send(address, port, text)
        answer, = self.wait(lambda line: line.get("peer") == address and f'"{text}"' in line.get("data", ""))
        seen = json.loads(answer["data"])
        return seen["peer"], seen["port"]


class Flooder(Agent):
    script = Peer.script

    def ended(self):
        """How many it sent, once its time is over."""
        return self.next(60)["sent"]


def udp_peer(netns, port=0, address="0.0.0.0"):
    return netns.agent(Peer, "udp-peer", address, str(port))


def flood(netns, device, frame, seconds):
    return netns.agent(Flooder, "flood", device, bytes(frame).hex(), str(seconds))


def more_servers(outside):
    for family in FAMILIES.values():
        outside.ip_batch(*(f"address add {address}/{family.length} dev lo" for address in family.servers[1:]))
