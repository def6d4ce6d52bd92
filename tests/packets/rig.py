# SPDX-License-Identifier: GPL-2.0-only
"""A host with endpoints and exposed ports, and its programs to be run on single packets.

    outside 198.51.100.2 ---- up0 198.51.100.1, 198.51.100.9   host
                              |        |                |
                     a 10.80.0.2    b 10.80.0.3     c 10.99.0.2
                     network default                network of its own

Tests share one host a file: each takes ports of its own (`rig.port()`), so that no connection is another test's. They
write IPv4; `rig.family` says which IP it is, see family.py.
"""
import contextlib
import itertools
import os
import re
import struct
from ipaddress import ip_network

from scapy.layers.inet import ICMP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoReply, ICMPv6EchoRequest
from scapy.layers.l2 import Ether
from scapy.packet import NoPayload, Raw

from bpf import PASS, REDIRECT, SHOT, Map, PerCpuCounters, Program
from connections import Connections
from siblings import FAMILIES, SIBLINGS, Family4, Family6
from topology import HOST_ADDRESS, OUTSIDE_FAR, bpffs_mounts

GATEWAY_MAC = "02:6e:73:62:70:66"
SECOND_ADDRESS = "198.51.100.9"
DROPS_H = os.path.join(os.path.dirname(__file__), "..", "..", "include", "nsbpf", "drops.h")
EPHEMERAL = 40000  # in ip_local_port_range, so never a NAT port
NAT_PORTS = [*range(1024, 32768), *range(61000, 65536)]
# For a datagram of 16 bytes of UDP.
BAD_IP_HEADERS = {4: [{"ihl": 0}, {"ihl": 4}, {"ihl": 15}, {"len": 0}, {"len": 19}, {"len": 27}, {"len": 37},
                      {"len": 65535}, {"version": 6}, {"version": 0}],
                  6: [{"plen": 0}, {"plen": 1}, {"plen": 7}, {"plen": 17}, {"plen": 65535}, {"version": 4},
                      {"version": 0}, {"version": 15}]}
# include/nsbpf/types.h
SETTINGS_FEATURES = 4
SETTINGS_SIZE, SETTINGS_TIMEOUTS, SETTINGS_SECOND, SETTINGS_FLAGS = 88, 20, 56, 68
CONN_STATES = ("syn", "established", "fin", "closing", "reset", "udp", "icmp")
TIMEOUTS = (*CONN_STATES, "fragment", "port")
CLOCK_HZ = 954
L4S = (TCP, UDP, ICMP, ICMPv6EchoRequest, ICMPv6EchoReply)
NAT_TABLES = 9  # those of the first three addresses: TCP, UDP, ICMP of each


class Node:
    """An endpoint, or the uplink: the MAC and the addresses behind a device of the host."""

    def __init__(self, rig, addresses, mac, ifindex, netns=None, gateways=()):
        self.rig, self.mac, self.ifindex, self.netns = rig, mac, ifindex, netns
        self.addresses, self.gateways = dict(zip(FAMILIES, addresses)), dict(zip(FAMILIES, gateways))

    @property
    def address(self):
        return self.addresses[self.rig.family.number]

    @property
    def gateway(self):
        return self.gateways[self.rig.family.number]


class Rig:
    family = Family4

    def __init__(self, host):
        self.host = host
        # On an IPv6 address of its own choice the host would send: the newest, if it is not a deprecated one.
        host.ip_batch(f"address add {SECOND_ADDRESS}/32 dev up0",
                      f"address add {Family6.address(SECOND_ADDRESS)}/128 dev up0 nodad preferred_lft 0")
        self.a = self.add("a")
        self.b = self.add("b")
        SIBLINGS[ip_network("10.80.0.0/16")] = ip_network(self.a.gateways[6] + "/64", strict=False)
        SIBLINGS[ip_network("10.99.0.0/24")] = ip_network("2001:db8:99::/64")
        host.nsbpf("network", "add", "other", "--subnet", "10.99.0.0/24", "--subnet6", "2001:db8:99::/64")
        self.c = self.add("c", "--network", "other")
        up0 = host.link("up0")
        self.uplink = Node(self, (HOST_ADDRESS, Family6.address(HOST_ADDRESS)), up0["address"], up0["ifindex"])
        self.outside_mac = host.outside.link("wan0")["address"]
        self._expose()
        self.open()
        self.ports = itertools.count(10000)

    def open(self):
        """What is pinned now; again after a close(), if the table has grown meanwhile."""
        self.pins = next(path for path in (f"{mount}/nsbpf/{self.host.cookie:016x}" for mount in bpffs_mounts())
                         if os.path.exists(path))
        self.programs = {name: Program(f"{self.pins}/programs/{name}", self.host.path)
                         for name in ("from_endpoint", "from_uplink", "to_endpoint", "end_connection")}
        self.connections = Connections(self.pins)
        self.settings = Map(f"{self.pins}/maps/settings", 4, SETTINGS_SIZE)
        self.nat_ports = Map(f"{self.pins}/maps/nat_ports", 4, 8)
        self.drop_counters = PerCpuCounters(f"{self.pins}/maps/drops")
        with open(DROPS_H, encoding="utf-8") as header:
            self.reasons = re.findall(r'^\s*X\(\w+, "([\w-]+)"', header.read(), re.MULTILINE)

    def add(self, short, *options):
        endpoint = self.host.add(short, *options)
        info = endpoint.info
        # Its addresses stay what they are; but what its stack sends by itself would be counted.
        endpoint.sysctl("net.ipv6.conf.all.disable_ipv6", 1)
        return Node(self, info["addresses"], info["mac"], self.host.link(info["device"])["ifindex"], endpoint,
                    (info["gateway"], info["gateway6"]))

    def _expose(self):
        exposed = (("a", "5000/tcp"), ("a", "5001/udp"), ("a", "6000-6010:7000/tcp"),
                                      ("a", HOST_ADDRESS + ":5100/tcp"),
                                      ("a", f"[{Family6.address(HOST_ADDRESS)}]:5100/tcp"),
                                      ("a", "5200/tcp", "--from", "192.0.2.0/24", "--from", "10.80.0.3/32",
                                       "--from", "2001:db8:2::/64", "--from", self.b.addresses[6] + "/128"),
                                      ("a", "127.0.0.1:5300/tcp"), ("a", "[::1]:5300/tcp"), ("b", "5400:80/both"))
        for name, ports, *options in exposed:
            self.host.nsbpf("expose", self.host.name(name), ports, *options)

    def close(self):
        for file in (*self.programs.values(), self.connections, self.settings, self.nat_ports, self.drop_counters):
            file.close()

    def both(self):
        """For either family."""
        for self.family in FAMILIES.values():
            yield self.family

    def port(self):
        """One that no other test uses, nor a binding that took it at random, inside the range of NAT ports."""
        return next(port for port in self.ports
                    if not any(any(self.nat_ports.lookup(struct.pack("=I", (table << 16) + port)))
                               for table in range(NAT_TABLES)))

    # frames
    def out(self, node):
        """The Ethernet header of what an endpoint sends."""
        return Ether(src=node.mac, dst=GATEWAY_MAC)

    def to(self, node):
        """The Ethernet header of what an endpoint gets."""
        return Ether(src=GATEWAY_MAC, dst=node.mac)

    def wan(self):
        """The Ethernet header of what comes in by the uplink."""
        return Ether(src=self.outside_mac, dst=self.uplink.mac)

    def ip(self, src=HOST_ADDRESS, dst=OUTSIDE_FAR, **fields):
        return self.family.header(src=self.family.address(src), dst=self.family.address(dst), **fields)

    def sent(self, node, dst, **fields):
        """What an endpoint sends, up to IP."""
        return self.out(node) / self.ip(node.address, dst, **fields)

    def arrived(self, dst=HOST_ADDRESS, src=OUTSIDE_FAR, **fields):
        """What comes in by the uplink, up to IP."""
        return self.wan() / self.ip(src, dst, **fields)
    def datagram(self, ether, src, dst, sport, dport, ident, ttl=64):
        """The four fragments of 5000 bytes by UDP; the checksum in the first is the whole datagram's."""
        whole = ether / self.ip(src, dst, ttl=ttl) / UDP(sport=sport, dport=dport) / Raw(bytes(range(250)) * 20)
        return self.family.fragments(whole, ident)

    def serve(self, netns, proto, port=0, address="0.0.0.0"):
        """An echo server."""
        return (netns.tcp_echo if proto == "tcp" else netns.udp_echo)(port, self.family.address(address))

    # programs
    def from_endpoint(self, node, packet, **ctx):
        return self.programs["from_endpoint"].run(bytes(packet), node.ifindex, **ctx)

    def from_uplink(self, packet, **ctx):
        return self.programs["from_uplink"].run(bytes(packet), self.uplink.ifindex, **ctx)

    def to_endpoint(self, node, packet, **ctx):
        return self.programs["to_endpoint"].run(bytes(packet), node.ifindex, **ctx)

    def end_connection(self, key):
        """As user space does it: by the original's key. 0, or ENOENT."""
        return self.programs["end_connection"].run(bytes(14) + key, 1)[0]

    # maps
    def drops(self):
        return {reason: self.drop_counters.total(index) for index, reason in enumerate(self.reasons)}

    @contextlib.contextmanager
    def dropped(self, *reasons):
        """What runs inside counts one drop, for one of these reasons, or none at all if no reason is given."""
        before = self.drops()
        yield
        after = self.drops()
        counted = {reason: after[reason] - before[reason] for reason in after if after[reason] != before[reason]}
        assert counted in [{reason: 1} for reason in reasons] or not counted and not reasons, counted

    def set_timeouts(self, **seconds):
        self._set({SETTINGS_TIMEOUTS + 4 * TIMEOUTS.index(name): value for name, value in seconds.items()})

    def set_second(self, milliseconds=1000):
        """How long a second of any timeout takes, the fixed ones of the datapath among them."""
        self._set({SETTINGS_SECOND: round(milliseconds * CLOCK_HZ / 1000)})

    def set_flags(self, flags):
        self._set({SETTINGS_FLAGS: flags})

    @contextlib.contextmanager
    def without(self, features):
        """As on a kernel that has not got these."""
        have, = struct.unpack_from("=I", self.settings.lookup(bytes(4)), SETTINGS_FEATURES)
        self._set({SETTINGS_FEATURES: have & ~features})
        try:
            yield
        finally:
            self._set({SETTINGS_FEATURES: have})

    def _set(self, words):
        settings = bytearray(self.settings.lookup(bytes(4)))
        for offset, value in words.items():
            struct.pack_into("=I", settings, offset, value)
        self.settings.update(bytes(4), bytes(settings))

    def connection_pairs(self):
        """Every entry: key → the key that the other direction must have."""
        return {entry.key: entry.other for entry in self.connections.values()}


def translated(packet, ether=None, ttl=-1, **ends):
    """The packet with other ends, as scapy builds it: every checksum from scratch."""
    result = packet.copy()
    if ether:
        result.src, result.dst = ether.src, ether.dst
    ip = result.payload
    if ip.version == 6:
        ip.hlim += ttl
    else:
        ip.ttl += ttl
    for field in ("src", "dst"):
        if field in ends:
            setattr(ip, field, family_of(packet).address(ends[field]))
    l4 = l4_of(result)
    for field in ("sport", "dport", "id"):
        if field in ends:
            setattr(l4, field, ends[field])
    return result


def family_of(frame):
    return FAMILIES[frame.payload.version]


def l4_of(frame):
    """Its TCP, UDP or ICMP echo."""
    return next((frame[layer] for layer in L4S if layer in frame), NoPayload())


def l4(proto, sport, dport, **fields):
    return TCP(sport=sport, dport=dport, **fields) if proto == "tcp" else UDP(sport=sport, dport=dport, **fields)


def expect(result, verdict, packet):
    """Verdict and every byte."""
    names = {PASS: "pass", SHOT: "drop", REDIRECT: "redirect"}
    assert names.get(result[0], result[0]) == names[verdict]
    if result[1] != bytes(packet):
        got, want = Ether(result[1]), Ether(bytes(packet))
        assert result[1] == bytes(packet), f"\ngot:\n{got.show(dump=True)}\nwanted:\n{want.show(dump=True)}"


def expect_untouched(result, packet):
    expect(result, PASS, packet)
