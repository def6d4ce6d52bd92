# SPDX-License-Identifier: GPL-2.0-only
"""A host under random treatment: what there is now, how frames get in and out, and what is checked of them.

    outside (several machines' worth of addresses) ---- up0   host ---- endpoints of two networks, which come and go

Neither outside nor the namespaces have a stack that answers: their addresses are taken away, and Taps send and receive.
"""
import collections
import re
import struct
import time
from types import SimpleNamespace

import snapshot
from bpf import Map
from datagrams import is_error, is_fragment, ports, wrong_checksums
from rig import SETTINGS_SECOND, SETTINGS_SIZE
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from state import State, parsed
from taps import Barrier, silent_tap
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, Host

NARROW = "203.0.113.9"
SERVERS = (OUTSIDE_ADDRESS, "203.0.113.2", "203.0.113.3", NARROW)
CLIENTS = (*SERVERS, "203.0.113.77", "203.0.113.78")
SUBNETS = {"default": "10.80.0", "other": "10.99.0"}
GATEWAYS = {f"{subnet}.1" for subnet in SUBNETS.values()}
GATEWAY_MAC = "02:6e:73:62:70:66"
SECOND = 8      # clock units for one of the timeouts' seconds: UDP's 300 pass in 2.5 real ones, ping's 60 in 0.5
SHORTEST = 0.3  # real seconds: no connection ends sooner
PROTOS = {1: "icmp", 6: "tcp", 17: "udp"}
TOKEN = re.compile(rb"<([a-z]+)>")


class Node:
    """An endpoint, or the outside: a Tap, and the last datagrams that came there."""

    def __init__(self, name, tap, network=None, address=None):
        self.name, self.tap, self.network, self.address = name, tap, network, address
        self.got = collections.deque(maxlen=30)


class World:
    def __init__(self):
        self.host = Host()
        self.endpoints = {}              # short name → Node
        self.state = None                # of the maps; None while nothing runs
        self.exposed = {}                # (protocol, port) → short name of the endpoint
        self.addresses = {HOST_ADDRESS}  # the host's, also those it had once
        self.open = set()                # networks that talk to each other
        self.closing = []
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        host = self.host
        host.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        host.sysctl("net.ipv4.ipfrag_time", 3600)  # no errors about those that nobody sends any more
        self.outside = Node("outside", silent_tap(host.outside, "wan0"))
        self.barrier = Barrier(host)
        self.closing = [self.outside.tap, self.barrier]
        mac = self.outside.tap.mac
        host.ip_batch(f"neighbour replace {OUTSIDE_ADDRESS} lladdr {mac} dev up0 nud permanent",
                      f"route add {NARROW} via {OUTSIDE_ADDRESS} mtu 1280")
        self.host_mac = host.link("up0")["address"]
        self.before = snapshot.take(host)

    def close(self):
        self.forget_all()
        for closing in self.closing:
            closing.close()
        self.host.close()

    # what commands have changed
    def learn(self, short, network, address):
        """An endpoint that was made."""
        self.forget(short)
        self.endpoints[short] = Node(short, silent_tap(self.host.endpoint(short), "eth0"), network, address)
        if not self.state:
            pins = self.host.pin_directories()[0]
            self.nat_ports = Map(f"{pins}/maps/nat_ports", 4, 8)
            self.state = State(SimpleNamespace(pins=pins, nat_ports=self.nat_ports))
            self.hurry()

    def forget(self, short):
        if short in self.endpoints:
            self.endpoints.pop(short).tap.close()
        self.exposed = {port: owner for port, owner in self.exposed.items() if owner != short}

    def forget_all(self):
        for short in list(self.endpoints):
            self.forget(short)
        self.open.clear()
        if self.state:
            self.nat_ports.close()
            self.state.close()
            self.state = None  # and with it goes the memory of nat_ports

    def hurry(self):
        """Lets the timeouts' seconds be short ones."""
        settings = Map(f"{self.state.rig.pins}/maps/settings", 4, SETTINGS_SIZE)
        value = bytearray(settings.lookup(bytes(4)))
        struct.pack_into("=I", value, SETTINGS_SECOND, SECOND)
        settings.update(bytes(4), bytes(value))
        settings.close()

    # what arrives
    def look(self):
        """Takes in all that has arrived. Of each packet the checksums are right, and it may be there."""
        began = time.monotonic()
        self.barrier.wait()
        for node in (self.outside, *self.endpoints.values()):
            for frame in node.tap.receive():
                packet = Ether(frame)[IP]
                node.got.append(packet)
                assert not wrong_checksums(packet), (node.name, wrong_checksums(packet), packet)
                if is_error(packet):
                    self.check_error(node, packet)
                elif node is self.outside:
                    self.check_leaving(packet, began)
                else:
                    self.check_arriving(node, packet)

    def sender(self, packet):
        """The endpoint that sent it: its data begin with a name, unless they are a later fragment's."""
        if packet.frag:
            return None
        l4 = next((packet[layer] for layer in (TCP, UDP, ICMP) if layer in packet), packet)
        token = TOKEN.match(bytes(l4.payload))
        return self.endpoints.get(token[1].decode()) if token else None

    def check_leaving(self, packet, began):
        """Nothing leaves untranslated; and what an endpoint has sent, by a connection of its own only."""
        assert packet.src in self.addresses and packet.proto in PROTOS, f"left untranslated: {packet!r}"
        sender = self.sender(packet)
        if not sender:
            return
        sport, dport = ports(packet)
        entry = self.state.entry(packet.dst, packet.src, dport, sport, PROTOS[packet.proto])
        if entry:
            to = parsed(entry.xlat).dst
            assert to == sender.address, f"from {sender.name}, {sender.address}; answers go to {to}: {packet!r}"
        else:
            assert time.monotonic() - began > SHORTEST, f"from {sender.name}, by no connection: {packet!r}"

    def check_arriving(self, node, packet):
        """An endpoint gets what is addressed to it; from another network only where both are open."""
        assert packet.dst == node.address, f"{node.name} is {node.address}: {packet!r}"
        sender = self.sender(packet)
        if not sender or packet.src in self.addresses | GATEWAYS:
            return
        assert packet.src == sender.address, f"from {sender.name}, {sender.address}: {packet!r}"
        if sender.network != node.network:
            assert {sender.network, node.network} <= self.open, f"networks are isolated: {packet!r}"

    def check_error(self, node, packet):
        """An ICMP error speaks of what its receiver has sent, as it was when he sent it."""
        if is_fragment(packet):
            return
        quoted = IP(bytes(packet.payload)[8:])
        own = CLIENTS if node is self.outside else (node.address,)
        assert packet.dst in own and quoted.src == packet.dst, f"not for {node.name}: {packet!r}"
        if node is self.outside:
            assert packet.src in self.addresses and quoted.dst in self.addresses, f"left untranslated: {packet!r}"
        header = IP(bytes(quoted)[:quoted.ihl * 4])
        del header.chksum
        assert IP(bytes(header)).chksum == quoted.chksum, f"quoted header's checksum: {packet!r}"

    # what the tables hold
    def check_tables(self):
        """Each entry has its other direction; ports, bindings, deadlines and counters are what the entries say.

        In time: connections end while the maps are read, but before long there are none left that could.
        """
        if self.state:
            self.state.check(tries=40)
