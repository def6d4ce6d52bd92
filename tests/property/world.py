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
from datagrams import is_error, is_fragment, piece, ports, protocol, upper, wrong_checksums
from rig import SETTINGS_SECOND, SETTINGS_SIZE
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6ND_NA, IPv6
from scapy.layers.l2 import Ether
from siblings import FAMILIES, Family4, Family6
from state import State, parsed
from taps import Barrier, silent_tap
from topology import OUTSIDE_ADDRESS, Host

NARROW = "203.0.113.9"
SERVERS = (OUTSIDE_ADDRESS, "203.0.113.2", "203.0.113.3", NARROW)
CLIENTS = (*SERVERS, "203.0.113.77", "203.0.113.78")
SUBNETS = {"default": "10.80.0", "other": "10.99.0"}
GATEWAY_MAC = "02:6e:73:62:70:66"
SECOND = 8      # clock units for one of the timeouts' seconds: UDP's 300 pass in 2.5 real ones, ping's 60 in 0.5
SHORTEST = 0.3  # real seconds: no connection ends sooner
PROTOS = {1: "icmp", 6: "tcp", 17: "udp", 58: "icmp"}
TOKEN = re.compile(rb"<([a-z]+)>")


class Node:
    """An endpoint, or the outside: a Tap, and the last datagrams that came there."""

    def __init__(self, name, tap, network=None, info=None):
        self.name, self.tap, self.network = name, tap, network
        self.addresses = info["addresses"] if info else []
        self.gateways = [info["gateway"], info["gateway6"]] if info else []
        self.got = collections.deque(maxlen=30)

    def address(self, family):
        return self.addresses[family is Family6]

    def gateway(self, family):
        return self.gateways[family is Family6]


class World:
    def __init__(self):
        self.host = Host()
        self.endpoints = {}              # short name → Node
        self.state = None                # of the maps; None while nothing runs
        self.exposed = {}                # (protocol, port) → short name of the endpoint
        self.addresses = {family.host for family in FAMILIES.values()}  # the host's, also those it had once
        self.open = set()                # networks that talk to each other
        self.closing = []
        try:
            self.prepare()
        except BaseException:
            self.close()
            raise

    def prepare(self):
        host = self.host
        for name in ("net.ipv4.ipfrag_time", "net.ipv6.ip6frag_time"):
            host.sysctl(name, 3600)  # no errors about those that nobody sends any more
        self.outside = Node("outside", silent_tap(host.outside, "wan0"))
        self.barrier = Barrier(host)
        self.closing = [self.outside.tap, self.barrier]
        mac = self.outside.tap.mac
        for family in FAMILIES.values():
            known = {family.address(OUTSIDE_ADDRESS), family.via}
            host.ip_batch(*(f"neighbour replace {address} lladdr {mac} dev up0 nud permanent" for address in known),
                          f"route add {family.address(NARROW)} via {family.via} dev up0 mtu lock 1280")
        self.host_mac = host.link("up0")["address"]
        self.before = snapshot.take(host)

    def close(self):
        self.forget_all()
        for closing in self.closing:
            closing.close()
        self.host.close()

    # what commands have changed
    def learn(self, short, network):
        """An endpoint that was made."""
        self.forget(short)
        endpoint = self.host.endpoint(short)
        self.endpoints[short] = Node(short, silent_tap(endpoint, "eth0"), network, endpoint.info)
        if not self.state:
            pins = self.host.pin_directories()[0]
            self.nat_ports = Map(f"{pins}/maps/nat_ports", 4, 8)
            self.state = State(SimpleNamespace(pins=pins, nat_ports=self.nat_ports, family=Family4))
            self.hurry()

    def of_host(self, family):
        return sorted(address for address in self.addresses if (":" in address) == (family is Family6))

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
                packet = Ether(frame).payload
                assert not wrong_checksums(packet), (node.name, wrong_checksums(packet), packet)
                if ICMPv6ND_NA in packet and not is_error(packet):
                    self.check_advertisement(node, packet)
                    continue
                node.got.append(packet)
                if is_error(packet):
                    self.check_error(node, packet)
                elif node is self.outside:
                    self.check_leaving(packet, began)
                else:
                    self.check_arriving(node, packet)

    def sender(self, packet):
        """The endpoint that sent it: its data begin with a name, unless they are a later fragment's."""
        if is_fragment(packet) and piece(packet)[0]:
            return None
        l4 = upper(packet)
        if isinstance(l4, (TCP, UDP)):
            data = bytes(l4.payload)
        else:
            data = bytes(l4)[8 if protocol(packet) in PROTOS else 0:]
        token = TOKEN.match(data)
        return self.endpoints.get(token[1].decode()) if token else None

    def check_leaving(self, packet, began):
        """Nothing leaves untranslated; and what an endpoint has sent, by a connection of its own only."""
        # Of a later fragment IPv6 tells only what follows the fragment header, which may be one more.
        known = protocol(packet) in PROTOS or isinstance(packet, IPv6) and is_fragment(packet) and piece(packet)[0]
        assert packet.src in self.addresses and known, f"left untranslated: {packet!r}"
        sender = self.sender(packet)
        if not sender:
            return
        sport, dport = ports(packet)
        entry = self.state.entry(packet.dst, packet.src, dport, sport, PROTOS[protocol(packet)])
        if entry:
            to = parsed(entry.xlat).dst
            assert to in sender.addresses, f"from {sender.name}, {sender.addresses}; answers go to {to}: {packet!r}"
        else:
            assert time.monotonic() - began > SHORTEST, f"from {sender.name}, by no connection: {packet!r}"

    def check_arriving(self, node, packet):
        """An endpoint gets what is addressed to it; from another network only where both are open."""
        assert packet.dst in node.addresses, f"{node.name} is {node.addresses}: {packet!r}"
        sender = self.sender(packet)
        if not sender or packet.src in self.addresses or packet.src in self.gateways():
            return
        assert packet.src in sender.addresses, f"from {sender.name}, {sender.addresses}: {packet!r}"
        if sender.network != node.network:
            assert {sender.network, node.network} <= self.open, f"networks are isolated: {packet!r}"

    def gateways(self):
        return {gateway for node in self.endpoints.values() for gateway in node.gateways}

    def check_advertisement(self, node, packet):
        """Of the gateway or a neighbour in the same network, as the gateway's MAC."""
        said = packet[ICMPv6ND_NA]
        there = {address for other in self.endpoints.values() if other.network == node.network and other is not node
                 for address in other.addresses} | set(node.gateways)
        assert node is not self.outside and packet.src == said.tgt in there, f"lies to {node.name}: {packet!r}"
        assert said.lladdr == GATEWAY_MAC and packet.hlim == 255, f"advertised to {node.name}: {packet!r}"

    def check_error(self, node, packet):
        """An ICMP error speaks of what its receiver has sent, as it was when he sent it."""
        if is_fragment(packet):
            return
        quoted = type(packet)(bytes(upper(packet))[8:])
        clients = {family.address(client) for client in CLIENTS for family in FAMILIES.values()}
        own = clients if node is self.outside else node.addresses
        assert packet.dst in own and quoted.src == packet.dst, f"not for {node.name}: {packet!r}"
        if node is self.outside:
            assert packet.src in self.addresses and quoted.dst in self.addresses, f"left untranslated: {packet!r}"
        if isinstance(packet, IPv6):
            return
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
