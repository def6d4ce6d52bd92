# SPDX-License-Identifier: GPL-2.0-only
"""The programs of raw.py: traceroute, ICMP errors and datagrams as they come in."""
import hashlib
import os

from processes import Agent


class Tool(Agent):
    """A program of raw.py."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "raw.py")


class Catch(Tool):
    """The datagrams that arrive."""

    def __init__(self, netns, proto, port=0, address="0.0.0.0"):
        super().__init__(netns, "catch", proto, address, str(port))

    @property
    def port(self):
        return self.first["ready"]

    def has(self, *wanted, before=0):
        """Exactly these, in any order, after so many that came before."""
        self.wait(lambda line: "datagram" in line, count=before + len(wanted))
        assert sorted(line["datagram"] for line in self.lines[1 + before:]) == \
            sorted([len(data), hashlib.sha256(data).hexdigest()] for data in wanted)


def traceroute(netns, proto, address, port, most=6):
    """What came back for a TTL of 1, 2, ...: (who, type, code), None, or what the destination itself had to say."""
    tool = netns.agent(Tool, "traceroute", proto, address, str(port), str(most))
    tool.wait(lambda line: "done" in line, timeout=20)
    return [hop(line) for line in tool.lines[1:-1]]


def hop(line):
    if "reached" in line:
        return line["reached"]
    return (line["from"], line["type"], line["code"]) if line["from"] else None


def learned(netns, address):
    """The path MTU that the stack has learned, None if it had no reason to."""
    route, = netns.ip_json("route", "get", address)
    return next((metric["mtu"] for metric in route.get("metrics", []) if "mtu" in metric), None)
