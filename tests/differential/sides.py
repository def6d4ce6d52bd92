# SPDX-License-Identifier: GPL-2.0-only
"""The two that are compared: nsbpf, and the classic recipe of bridge, nftables and ip_forward.

    outside 198.51.100.2, .3, 203.0.113.x ---- up0 198.51.100.1, 198.51.100.9   host
                                               |            |            |
                                       a 10.80.0.2    b 10.80.0.3   c 10.80.0.4

and the same in IPv6, with each address' sibling (10.80.0.2 is fd00:80::2).

Nobody but the hosts has a stack of his own here: namespaces and outside have no addresses, so what a Tap sends and
receives there is all there is.
"""
import os
import socket
import struct
from collections import namedtuple
from ipaddress import ip_network

from bpf import Map, Program, inside
from connections import Connections
from scapy.layers.l2 import Ether
from siblings import SIBLINGS, Family6
from taps import ETHER_SIZE, Barrier, silent_tap
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, Host

ICMP_RATES, ICMP_RATE_SIZE = 1024, 8  # bpf/maps.h, struct icmp_rate
LOOPBACK = 1
# linux/netlink.h, linux/netfilter/nfnetlink.h and nfnetlink_conntrack.h
NETLINK_NETFILTER, NFNL_SUBSYS_CTNETLINK, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST, NLM_F_ACK = 12, 1, 2, 1, 4

GATEWAY = "10.80.0.1"
SUBNET, SUBNET6 = "10.80.0.0/16", "fd00:80::/64"
ENDPOINTS = {"a": "10.80.0.2", "b": "10.80.0.3", "c": "10.80.0.4"}
SECOND_ADDRESS = "198.51.100.9"
ON_LINK = "198.51.100.3"
NARROW, NARROW_MTU = "203.0.113.9", 1280
SERVERS = (OUTSIDE_ADDRESS, ON_LINK, "203.0.113.2", "203.0.113.3", NARROW)
CLIENTS = (ON_LINK, "203.0.113.2", "203.0.113.7")

Exposed = namedtuple("Exposed", "proto address first last endpoint target")
EXPOSED = (Exposed("tcp", None, 5000, 5000, "a", 80), Exposed("udp", None, 5000, 5000, "a", 53),
           Exposed("tcp", None, 6000, 6002, "b", 7000), Exposed("udp", None, 6000, 6002, "c", 6000),
           Exposed("tcp", SECOND_ADDRESS, 5100, 5100, "c", 443))


class Side:
    """A host, and a Tap at each end: "a", "b", "c" and "outside"."""

    def __init__(self):
        self.host = Host()
        self.taps = {}
        self.closing = []
        try:
            self.make()
        except BaseException:
            self.close()
            raise

    def make(self):
        host, outside = self.host, self.host.outside
        for name, value in (("net.ipv4.conf.all.rp_filter", 0), ("net.ipv4.icmp_ratelimit", 0),
                            ("net.ipv6.icmp.ratelimit", 0), ("net.ipv4.icmp_msgs_per_sec", 1000000)):
            host.sysctl(name, value)
        self.taps["outside"] = silent_tap(outside, "wan0")
        mac = self.taps["outside"].mac
        known = [OUTSIDE_ADDRESS, ON_LINK, *map(Family6.address, (OUTSIDE_ADDRESS, ON_LINK)), Family6.via]
        host.ip_batch(f"address add {SECOND_ADDRESS}/32 dev up0",
                      *(f"neighbour replace {address} lladdr {mac} dev up0 nud permanent" for address in known),
                      f"route add {NARROW} via {OUTSIDE_ADDRESS} mtu {NARROW_MTU}")
        # Deprecated, else the host would send by it; locked, else Linux would not heed it when it forwards.
        host.ip_batch(f"address add {Family6.address(SECOND_ADDRESS)}/128 dev up0 nodad preferred_lft 0",
                      f"route add {Family6.address(NARROW)} via {Family6.via} dev up0 mtu lock {NARROW_MTU}")
        self.host_mac = host.link("up0")["address"]
        self.barrier = Barrier(host)
        self.start()
        for short, address in ENDPOINTS.items():
            self.taps[short] = silent_tap(self.add(short, address), "eth0")
        self.ready()

    def ether(self, node, to):
        """The header of a frame from a node to an IP address."""
        if node == "outside":
            return Ether(src=self.taps[node].mac, dst=self.host_mac)
        return Ether(src=self.taps[node].mac, dst=self.next_hop(to))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def settle(self):
        """What has arrived since the last time, by node."""
        self.barrier.wait()
        return {node: tap.receive() for node, tap in self.taps.items()}

    def close(self):
        for tap in self.taps.values():
            tap.close()
        for file in self.closing:
            file.close()
        self.host.close()


class Nsbpf(Side):
    name = "nsbpf"
    GATEWAY_MAC = "02:6e:73:62:70:66"

    def start(self):
        SIBLINGS[ip_network(SUBNET)] = ip_network(SUBNET6)  # a Rig may have been here before, with a subnet of its own
        self.host.nsbpf("network", "add", "compared", "--subnet", SUBNET, "--subnet6", SUBNET6)

    def add(self, short, address):
        return self.host.add(short, "--network", "compared", "--ip", f"{address},{Family6.address(address)}")

    def ready(self):
        for exposed in EXPOSED:
            at = [f"{exposed.address}:", f"[{Family6.address(exposed.address)}]:"] if exposed.address else [""]
            for address in at:
                self.host.nsbpf("expose", self.host.name(exposed.endpoint),
                                f"{address}{exposed.first}-{exposed.last}:{exposed.target}/{exposed.proto}")
        pins = self.host.pin_directories()[0]
        self.connections = Connections(pins)
        self.icmp_rates = Map(f"{pins}/maps/icmp_rates", 4, ICMP_RATE_SIZE)
        self.end_connection = Program(f"{pins}/programs/end_connection", self.host.path)
        self.closing = [self.connections, self.icmp_rates, self.end_connection]

    def next_hop(self, _):
        return self.GATEWAY_MAC

    def reset(self):
        """As if nothing had been sent yet: no connection, and nobody has had an ICMP error."""
        for original in self.connections.originals():
            self.end_connection.run(bytes(ETHER_SIZE) + original.key, LOOPBACK)
        assert not self.connections.live()
        for index in range(ICMP_RATES):
            self.icmp_rates.update(struct.pack("=I", index), bytes(ICMP_RATE_SIZE))


class Linux(Side):
    name = "linux"
    BRIDGE, BRIDGE_MAC = "br0", "02:00:0a:50:00:01"

    def start(self):
        host = self.host
        for name in ("iptables", "ip6tables", "arptables"):
            host.run("sysctl", "-qe", f"net.bridge.bridge-nf-call-{name}=0")
        host.ip_batch(f"link add {self.BRIDGE} address {self.BRIDGE_MAC} type bridge",
                      f"link set {self.BRIDGE} addrgenmode none", f"address add {GATEWAY}/16 dev {self.BRIDGE}",
                      f"address add {Family6.address(GATEWAY)}/64 dev {self.BRIDGE} nodad",
                      f"link set {self.BRIDGE} up")
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.ipv6.conf.all.forwarding", 1)
        for words in (("ip", SUBNET, lambda address: address, "{}:{}"), ("ip6", SUBNET6, Family6.address, "[{}]:{}")):
            host.run("nft", "-f", "-", input=self.ruleset(*words))
        host.sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", 1)  # windows are the endpoints' business

    def ruleset(self, ip, subnet, address, target):
        expose = "\n".join(
            f"fib daddr type local {f'{ip} daddr {address(e.address)}' if e.address else ''}"
            f" {e.proto} dport {e.first + n} dnat to {target.format(address(ENDPOINTS[e.endpoint]), e.target + n)}"
            for e in EXPOSED for n in range(e.last - e.first + 1))
        return f"""
            table {ip} nat {{
                chain prerouting {{
                    type nat hook prerouting priority dstnat
                    {expose}
                }}
                chain postrouting {{
                    type nat hook postrouting priority srcnat
                    {ip} saddr {subnet} oifname up0 masquerade
                    {ip} saddr {subnet} ct status dnat snat to {address(HOST_ADDRESS)}
                }}
            }}
            table {ip} filter {{
                chain forward {{
                    type filter hook forward priority filter; policy drop
                    ct state invalid drop
                    ct state established,related accept
                    iifname {self.BRIDGE} accept
                    ct status dnat accept
                }}
            }}"""

    def add(self, short, address):
        host, netns = self.host, self.host.machine(short)
        host.connect(host, f"v-{short}", netns, "eth0")
        mac = netns.link("eth0")["address"]
        host.ip_batch(f"link set v-{short} master {self.BRIDGE}",
                      *(f"neighbour replace {of} lladdr {mac} dev {self.BRIDGE} nud permanent"
                        for of in (address, Family6.address(address))))
        host.run("bridge", "fdb", "replace", mac, "dev", f"v-{short}", "master", "static")
        return netns

    def next_hop(self, to):
        """Only a bridge's neighbours have MACs of their own."""
        neighbour = next((short for short, address in ENDPOINTS.items() if to in (address, Family6.address(address))),
                         None)
        return self.taps[neighbour].mac if neighbour else self.BRIDGE_MAC

    def ready(self):
        with inside(self.host.path):
            self.netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_NETFILTER)
        self.closing = [self.netlink]

    def reset(self):
        """What `conntrack -F` does: IPCTNL_MSG_CT_DELETE of all, and the kernel's acknowledgement."""
        self.netlink.send(struct.pack("=IHHIIBBH", 20, NFNL_SUBSYS_CTNETLINK << 8 | IPCTNL_MSG_CT_DELETE,
                                      NLM_F_REQUEST | NLM_F_ACK, 0, 0, 0, 0, 0))
        error, = struct.unpack_from("=i", self.netlink.recv(4096), 16)
        assert error == 0, os.strerror(-error)
