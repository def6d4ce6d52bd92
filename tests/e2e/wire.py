# SPDX-License-Identifier: GPL-2.0-only
"""What the datapath tests share: programs of traffic.py, checksums of captured packets, one check of every path."""
import json
import os

import datagrams as ip_datagrams
from processes import Agent

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
    any_address = "::" if ":" in address else "0.0.0.0"
    with server.agent(Traffic, "bulk-serve", any_address, str(port), str(size)) as serving:
        with client.agent(Traffic, "bulk", address, str(asked or serving.port), str(size)) as sending:
            here, there = sending.next(60), serving.next(60)
    assert (here["missing"], there["missing"]) == (0, 0)
    assert (here["received"], there["received"]) == (there["sent"], here["sent"])


def datagrams(client, address, port, *sizes):
    """Random datagrams to a mirror: every one has to come back as it was."""
    with client.agent(Traffic, "datagrams", address, str(port), *map(str, sizes)) as sending:
        assert [sending.next(10) for _ in sizes] == [{"size": size, "same": True} for size in sizes]


def wrong_checksums(packet):
    """Of a captured packet."""
    return ip_datagrams.wrong_checksums(packet.ether.payload)


def question(client, proto, address, port, **more):
    """The server's view of one question by TCP or UDP; fails the test if there was no answer."""
    seen = (client.tcp if proto == "tcp" else client.udp)(address, port, **more)
    assert "error" not in seen, (client.name, proto, address, port, seen)
    if proto == "udp":
        assert (seen["from"], seen["from_port"]) == (address, port)
    return seen


def echo(netns, proto, port=0, address="0.0.0.0"):
    return (netns.tcp_echo if proto == "tcp" else netns.udp_echo)(port, address)


def check_every_path(host, a, b, family):
    """ns→ns, ns→host, host→ns, ns→outside, by TCP, UDP and ping, and whom the server saw."""
    gateway, a_address, b_address = a.gateway_of(family), a.address_of(family), b.address_of(family)
    for proto in ("tcp", "udp"):
        with echo(b, proto, address=family.any) as server:
            assert question(a, proto, b_address, server.port)["peer"] == a_address
            assert question(host, proto, b_address, server.port)["peer"] in (gateway, family.host)
        with echo(host, proto, address=family.any) as server:
            for address in (family.host, gateway):
                assert question(a, proto, address, server.port)["peer"] == a_address
        with echo(host.outside, proto, address=family.any) as server:
            for address in (family.outside, family.far):
                assert question(a, proto, address, server.port)["peer"] == family.host
    for netns, address in ((a, b_address), (a, family.host), (a, gateway), (a, family.outside), (a, family.far),
                           (host, a_address)):
        assert netns.ping(address).returncode == 0, (netns.name, address)
