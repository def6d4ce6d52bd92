# SPDX-License-Identifier: GPL-2.0-only
"""What the datapath tests share: programs of traffic.py, checksums of captured packets, one check of every path."""
import json
import os

from processes import Agent
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR

GATEWAY_MAC = "02:6e:73:62:70:66"
SECOND_ADDRESS = "198.51.100.9"
NAT_PORTS = [*range(1024, 32768), *range(61000, 65536)]


class Traffic(Agent):
    """A program of traffic.py; .port is where it listens, or is bound."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "traffic.py")

    @property
    def port(self):
        return self.first["ready"]


def mirror(netns, proto, port=0, address="0.0.0.0"):
    return netns.agent(Traffic, "mirror", proto, address, str(port))


class Swarm(Traffic):
    """Many connections of one proto to one place; a turn sends by all at once, and says what went wrong."""

    def __init__(self, netns, options):
        super().__init__(netns, "swarm", options, ready_within=40)

    def start_turn(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def end_turn(self):
        return self.next(40)["wrong"]


def swarm(netns, name, proto, address, port, count, first_port=0):
    options = {"name": name, "proto": proto, "address": address, "port": port, "count": count, "first_port": first_port}
    return netns.agent(Swarm, json.dumps(options))


def bulk(client, server, address, size=8 << 20, port=0, asked=None):
    """As many bytes each way at once; both sides must have seen the other's, by SHA-256."""
    with server.agent(Traffic, "bulk-serve", str(port), str(size)) as serving:
        with client.agent(Traffic, "bulk", address, str(asked or serving.port), str(size)) as sending:
            here, there = sending.next(60), serving.next(60)
    assert (here["missing"], there["missing"]) == (0, 0)
    assert (here["received"], there["received"]) == (there["sent"], here["sent"])


def datagrams(client, address, port, *sizes):
    """Random datagrams to a mirror: every one has to come back as it was."""
    with client.agent(Traffic, "datagrams", address, str(port), *map(str, sizes)) as sending:
        assert [sending.next(10) for _ in sizes] == [{"size": size, "same": True} for size in sizes]


def wrong_checksums(packet):
    """The fields of a captured packet that are not what scapy makes of it; a UDP checksum of 0 is none."""
    fresh = packet.ether.copy()
    layers = [layer for layer in (IP, TCP, UDP, ICMP) if layer in fresh]
    for layer in layers:
        if not (layer is UDP and fresh[UDP].chksum == 0):
            del fresh[layer].chksum
    fresh = Ether(bytes(fresh))
    return {layer.__name__: (packet[layer].chksum, fresh[layer].chksum) for layer in layers
            if packet[layer].chksum != fresh[layer].chksum}


def question(client, proto, address, port, **more):
    """The server's view of one question by TCP or UDP; fails the test if there was no answer."""
    seen = (client.tcp if proto == "tcp" else client.udp)(address, port, **more)
    assert "error" not in seen, (client.name, proto, address, port, seen)
    if proto == "udp":
        assert (seen["from"], seen["from_port"]) == (address, port)
    return seen


def echo(netns, proto, port=0, address="0.0.0.0"):
    return (netns.tcp_echo if proto == "tcp" else netns.udp_echo)(port, address)


def check_every_path(host, a, b):
    """ns→ns, ns→host, host→ns, ns→outside, by TCP, UDP and ping, and whom the server saw."""
    gateway = a.info["gateway"]
    for proto in ("tcp", "udp"):
        with echo(b, proto) as server:
            assert question(a, proto, b.address, server.port)["peer"] == a.address
            assert question(host, proto, b.address, server.port)["peer"] in (gateway, HOST_ADDRESS)
        with echo(host, proto) as server:
            for address in (HOST_ADDRESS, gateway):
                assert question(a, proto, address, server.port)["peer"] == a.address
        with echo(host.outside, proto) as server:
            for address in (OUTSIDE_ADDRESS, OUTSIDE_FAR):
                assert question(a, proto, address, server.port)["peer"] == HOST_ADDRESS
    for netns, address in ((a, b.address), (a, HOST_ADDRESS), (a, gateway), (a, OUTSIDE_ADDRESS), (a, OUTSIDE_FAR),
                           (host, a.address)):
        assert netns.ping(address).returncode == 0, (netns.name, address)
