# SPDX-License-Identifier: GPL-2.0-only
"""The NATs that are compared, on the same host with the same endpoints: nsbpf, and Linux's masquerade.

Linux is set up as it is told everywhere: a bridge, ip_forward, nftables with masquerade, and dnat for an exposed port.
Its gateway has the MAC that nsbpf's has, so that both get the same packets. Where a row asks for it (hurry), their time
runs faster: nsbpf's by settings.second, Linux's by dividing the time-outs of nf_conntrack in the host's namespace.
"""
import contextlib
import os
import struct

from bpf import Map
from rig import GATEWAY_MAC, SETTINGS_SECOND, SETTINGS_SIZE, SETTINGS_TIMEOUTS, TIMEOUTS
from table import Fails
from topology import bpffs_mounts

# include/nsbpf/types.h
CLOCK_UNIT = 2 ** 20 / 1e9  # seconds
PRESSURE_SIZE, PRESSURE_OVERLAPS = 32, 16

CONE_SUBNET = "10.81.0.0/16"


class Nsbpf:
    title = "nsbpf"

    def __init__(self, host, nat_ports=None, hurry=None):
        """hurry: how many units of the datapath's clock a second of the time-outs is to last."""
        self.host = host
        if nat_ports:
            # The NAT range is what the host's own sockets leave.
            host.sysctl("net.ipv4.ip_local_port_range", f"1024 {nat_ports[0] - 1}")
        self._hurry = hurry
        self._settings = None

    def add(self, short, filtering=None, max_connections=None):
        """Returns the namespace, its address and the gateway's."""
        options = ["--max-connections", max_connections] if max_connections else []
        if filtering:
            self.host.nsbpf("network", "add", "cone", "--subnet", CONE_SUBNET, "--filtering", filtering)
            options += ["--network", "cone"]
        endpoint = self.host.add(short, *options)
        if not self._settings:
            self._settings = self._map("settings", SETTINGS_SIZE)
            if self._hurry:
                settings = bytearray(self._read())
                struct.pack_into("=I", settings, SETTINGS_SECOND, self._hurry)
                self._settings.update(bytes(4), bytes(settings))
        info = endpoint.info
        return endpoint, info["addresses"][0], info["gateway"]

    def expose(self, short, port, target, proto):
        self.host.nsbpf("expose", self.host.name(short), f"{port}:{target}/{proto}")

    def timeout(self, timer):
        return struct.unpack_from("=I", self._read(), SETTINGS_TIMEOUTS + 4 * TIMEOUTS.index(timer))[0]

    def set_timeout(self, timer, seconds):
        self.host.nsbpf("set", f"timeout.{'tcp-syn' if timer == 'syn' else timer}", seconds)

    def second(self, _timer):
        """How long a second of this timer takes here."""
        return struct.unpack_from("=I", self._read(), SETTINGS_SECOND)[0] * CLOCK_UNIT

    def inbound_refresh_off(self):
        """Packets from outside keep no mapping alive from now on. False: this cannot be chosen."""
        self.host.nsbpf("set", "inbound-refresh", "off")
        return True

    def overlaps(self):
        """Connections that had to share a NAT port so far."""
        with contextlib.closing(self._map("pressure", PRESSURE_SIZE)) as pressure:
            return struct.unpack_from("=Q", pressure.lookup(bytes(4)), PRESSURE_OVERLAPS)[0]

    def close(self):
        if self._settings:
            self._settings.close()

    def _map(self, name, value_size):
        paths = (f"{mount}/nsbpf/{self.host.cookie:016x}/maps/{name}" for mount in bpffs_mounts())
        return Map(next(path for path in paths if os.path.exists(path)), 4, value_size)

    def _read(self):
        return self._settings.lookup(bytes(4))


class Linux:
    title = "Linux"
    GATEWAY, NETWORK = "10.80.0.1", "10.80.0.0/16"
    RECIPE = """
        table ip nat {
            chain postrouting {
                type nat hook postrouting priority srcnat
                %s
                oifname "br0" ip saddr 10.80.0.0/16 ct status dnat masquerade
            }
            chain prerouting {
                type nat hook prerouting priority dstnat
            }
        }
        """
    MASQUERADE = 'oifname "up0" ip saddr 10.80.0.0/16 '
    # A number that divides every default. Only the five days of an established connection need a larger one.
    FACTOR, FACTOR_ESTABLISHED = 10, 60
    SYSCTLS = {"syn": "tcp_timeout_syn_sent", "established": "tcp_timeout_established", "fin": "tcp_timeout_fin_wait",
               "closing": "tcp_timeout_time_wait", "reset": "tcp_timeout_close", "udp": "udp_timeout",
               "answered": "udp_timeout_stream", "icmp": "icmp_timeout"}

    def __init__(self, host, nat_ports=None, hurry=None):
        self.host = host
        self._hurry = hurry
        self._addresses = {}
        host.ip_batch(f"link add br0 address {GATEWAY_MAC} type bridge", f"address add {self.GATEWAY}/16 dev br0",
                      "link set br0 addrgenmode none up")
        host.sysctl("net.ipv4.ip_forward", 1)
        host.sysctl("net.bridge.bridge-nf-call-iptables", 0)
        masquerade = self.MASQUERADE + "masquerade"
        if nat_ports:
            masquerade = f"{self.MASQUERADE}meta l4proto {{ tcp, udp }} masquerade to :{nat_ports[0]}-{nat_ports[1]}"
        self._nft(self.RECIPE % masquerade)
        for sysctl in self.SYSCTLS.values():
            self._scale(sysctl)

    def _scale(self, sysctl):
        factor = self._factor(sysctl)
        name = "net.netfilter.nf_conntrack_" + sysctl
        seconds, rest = divmod(int(self.host.sysctl(name)), factor)
        assert not rest, f"{name} is no multiple of {factor}"
        self.host.sysctl(name, seconds)

    def _factor(self, sysctl):
        if not self._hurry:
            return 1
        return self.FACTOR_ESTABLISHED if "established" in sysctl else self.FACTOR

    def add(self, short, filtering=None, max_connections=None):
        if filtering:
            raise Fails("filtering not selectable")
        if max_connections:
            raise Fails("no cap for an endpoint in masquerade")
        number = len(self._addresses) + 2
        address = self._addresses[short] = f"10.80.0.{number}"
        netns = self.host.machine(short)
        self.host.connect(self.host, f"v-{short}", netns, "eth0")
        self.host.ip_batch(f"link set v-{short} master br0",
                           f"neighbour replace {address} lladdr {netns.link('eth0')['address']} dev br0 nud permanent")
        return netns, address, self.GATEWAY

    def expose(self, short, port, target, proto):
        self._nft(f"add rule ip nat prerouting fib daddr type local {proto} dport {port}"
                  f" dnat to {self._addresses[short]}:{target}")

    def timeout(self, timer):
        sysctl = self.SYSCTLS[timer]
        return int(self.host.sysctl("net.netfilter.nf_conntrack_" + sysctl)) * self._factor(sysctl)

    def set_timeout(self, timer, seconds):
        sysctl = self.SYSCTLS[timer]
        self.host.sysctl("net.netfilter.nf_conntrack_" + sysctl, seconds // self._factor(sysctl))

    def second(self, timer):
        return 1 / self._factor(self.SYSCTLS[timer])

    def inbound_refresh_off(self):
        return False

    def overlaps(self):
        return None

    def close(self):
        pass

    def _nft(self, rules):
        self.host.run("nft", "-f", "-", input=rules)


NATS = (Nsbpf, Linux)
