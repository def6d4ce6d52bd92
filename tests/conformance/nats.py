# SPDX-License-Identifier: GPL-2.0-only
"""The NATs that are compared, on the same host with the same endpoints: nsbpf, and Linux's masquerade.

Linux is set up as it is told everywhere: a bridge, forwarding, nftables with masquerade, and dnat for an exposed port.
Its gateway has the MAC that nsbpf's has, so that both get the same packets. Where a row asks for it (hurry), their time
runs faster: nsbpf's by settings.second, Linux's by dividing the time-outs of nf_conntrack in the host's namespace.
"""
import contextlib
import os
import struct
from ipaddress import ip_address

from bpf import Map
from families import FAMILIES
from rig import GATEWAY_MAC, SETTINGS_SECOND, SETTINGS_SIZE, SETTINGS_TIMEOUTS, TIMEOUTS
from table import Fails
from topology import bpffs_mounts

# include/nsbpf/types.h
CLOCK_UNIT = 2 ** 20 / 1e9  # seconds
PRESSURE_SIZE, PRESSURE_OVERLAPS = 48, 16

CONE = "cone"  # a network with filtering of its own
CONE_SUBNETS = ("--subnet", "10.81.0.0/16", "--subnet6", "2001:db8:81::/64")


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
        self._networks = set()

    def add(self, short, filtering=None, max_connections=None):
        """Returns the namespace, and by family its address and the gateway's."""
        options = ["--max-connections", max_connections] if max_connections else []
        if filtering:
            if CONE not in self._networks:
                self._networks.add(CONE)
                self.host.nsbpf("network", "add", CONE, *CONE_SUBNETS, "--filtering", filtering)
            options += ["--network", CONE]
        endpoint = self.host.add(short, *options)
        if not self._settings:
            self._settings = self._map("settings", SETTINGS_SIZE)
            if self._hurry:
                settings = bytearray(self._read())
                struct.pack_into("=I", settings, SETTINGS_SECOND, self._hurry)
                self._settings.update(bytes(4), bytes(settings))
        info = endpoint.info
        return endpoint, dict(zip((4, 6), zip(info["addresses"], (info["gateway"], info["gateway6"]))))

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
    # By family: nftables' name of it, the gateway, the endpoints' prefix.
    RECIPES = {4: ("ip", "10.80.0.1", 16), 6: ("ip6", "fd80::1", 64)}
    RECIPE = """
        table {ip} nat {{
            chain postrouting {{
                type nat hook postrouting priority srcnat
                oifname "up0" {ip} saddr {gateway}/{length} {masquerade}
                oifname "br0" {ip} saddr {gateway}/{length} ct status dnat masquerade
            }}
            chain prerouting {{
                type nat hook prerouting priority dstnat
            }}
        }}
        """
    # A number that divides every default. Only the five days of an established connection need a larger one.
    FACTOR, FACTOR_ESTABLISHED = 10, 60
    SYSCTLS = {"syn": "tcp_timeout_syn_sent", "established": "tcp_timeout_established", "fin": "tcp_timeout_fin_wait",
               "closing": "tcp_timeout_time_wait", "reset": "tcp_timeout_close", "udp": "udp_timeout",
               "answered": "udp_timeout_stream", "icmp": "icmp_timeout", "icmpv6": "icmpv6_timeout"}

    def __init__(self, host, nat_ports=None, hurry=None):
        self.host = host
        self._hurry = hurry
        self._addresses = {}
        masquerade = "masquerade"
        if nat_ports:
            masquerade = f"meta l4proto {{ tcp, udp }} masquerade to :{nat_ports[0]}-{nat_ports[1]}"
        host.ip_batch(f"link add br0 address {GATEWAY_MAC} type bridge", "link set br0 addrgenmode none up")
        for forwarding in ("net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"):
            host.sysctl(forwarding, 1)
        for name, gateway, length in self.RECIPES.values():
            host.ip("address", "add", f"{gateway}/{length}", "dev", "br0", *(["nodad"] if name == "ip6" else []))
            host.sysctl(f"net.bridge.bridge-nf-call-{name}tables", 0)
            self._nft(self.RECIPE.format(ip=name, gateway=gateway, length=length, masquerade=masquerade))
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
        netns = self.host.machine(short)
        self.host.connect(self.host, f"v-{short}", netns, "eth0")
        mac = netns.link("eth0")["address"]
        number = len(self._addresses) + 1
        self._addresses[short] = {family: str(ip_address(gateway) + number)
                                  for family, (_, gateway, _) in self.RECIPES.items()}
        self.host.ip_batch(f"link set v-{short} master br0",
                           *(f"neighbour replace {address} lladdr {mac} dev br0 nud permanent"
                             for address in self._addresses[short].values()))
        return netns, {family: (address, self.RECIPES[family][1])
                       for family, address in self._addresses[short].items()}

    def expose(self, short, port, target, proto):
        for family, (name, _, _) in self.RECIPES.items():
            self._nft(f"add rule {name} nat prerouting fib daddr type local {proto} dport {port}"
                      f" dnat to {FAMILIES[family].at(self._addresses[short][family], target)}")

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
