# SPDX-License-Identifier: GPL-2.0-only
"""Who is measured. Each has a private host and an outside machine of its own (see topology.py), and two endpoints:

      outside                     host                                     endpoints
     +----------------+          +-------------------------------+        +----------------------+
     | 198.51.100.2 wan0 - veth - up0 198.51.100.1               |        |                      |
     |                |          |       nsbpf, or a bridge with | - veth - eth0  "a"            |
     |                |          |       iptables and ip_forward | - veth - eth0  "b"            |
     +----------------+          +-------------------------------+        +----------------------+

The bare wire is the veth pair between outside and host, without anything else. With FAMILY=6 all of it is IPv6.
"""
import contextlib
import os
from collections import namedtuple

from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, Host, Netns

Family = namedtuple("Family", "number host outside any header")
FAMILY = {4: Family(4, HOST_ADDRESS, OUTSIDE_ADDRESS, "0.0.0.0", 20),
          6: Family(6, HOST_ADDRESS6, OUTSIDE_ADDRESS6, "::", 40)}[int(os.environ.get("FAMILY") or 4)]

# Servers listen here; all of it is exposed.
FIRST_PORT, LAST_PORT = 5201, 5203

# Where a client is, and the server's namespace and the address that the client knows it by.
Path = namedtuple("Path", "client server address")

PATHS = {
    "masquerade": "masquerade: endpoint → outside",
    "expose": "expose: outside → endpoint",
    "endpoints": "endpoint → endpoint",
    "host": "host → endpoint",
}


class Contestant:
    attach = "tcx"

    def __init__(self):
        self.host = Host(self.attach)

    def prepare(self):
        """Two endpoints, one of them exposed, and the paths between them."""
        self.start()
        a, b = self.add("a"), self.add("b")
        for proto in ("tcp", "udp"):
            self.expose("b", FIRST_PORT, LAST_PORT, proto)
        host, outside = self.host, self.host.outside
        self.paths = {
            "masquerade": Path(a, outside, FAMILY.outside),
            "expose": Path(outside, b, FAMILY.host),
            "endpoints": Path(a, b, self.address("b")),
            "host": Path(host, b, self.address("b")),
        }

    # What a host needs before its first endpoint.
    def start(self):
        pass


class Bare(Contestant):
    key, title = "bare", "bare wire"

    def prepare(self):
        self.paths = dict.fromkeys(PATHS, Path(self.host.outside, self.host, FAMILY.host))


class Bridge(Contestant):
    """The classic recipe, command by command as it is told everywhere."""
    WORDS = {4: {"iptables": "iptables", "forward": "net.ipv4.ip_forward", "subnet": "10.90.0.0/24", "net": "10.90.0.",
                 "length": "24"},
             6: {"iptables": "ip6tables", "forward": "net.ipv6.conf.all.forwarding", "subnet": "fd90::/64",
                 "net": "fd90::", "length": "64 nodad"}}[FAMILY.number]
    key, title = "bridge", f"bridge+{WORDS['iptables']}"

    START = """
        ip link add br0 type bridge
        ip address add {net}1/{length} dev br0
        ip link set br0 up
        sysctl -q {forward}=1
        {iptables} -P FORWARD ACCEPT
        {iptables} -t nat -A POSTROUTING -s {subnet} -o up0 -j MASQUERADE
        """
    ADD = """
        ip netns add $1
        ip link add v-$2 type veth peer name eth0 netns $1
        ip link set v-$2 master br0
        ip link set v-$2 up
        ip -n $1 link set lo up
        ip -n $1 address add $3/{length} dev eth0
        ip -n $1 link set eth0 up
        ip -n $1 route add default via {net}1
        mkdir -p /etc/netns/$1
        echo nameserver 198.51.100.53 >/etc/netns/$1/resolv.conf
        """
    EXPOSE = """
        {iptables} -t nat -A PREROUTING -p $1 -m addrtype --dst-type LOCAL --dport $2:$3 -j DNAT --to-destination $4
        """
    DELETE = """
        ip netns del $1
        rm -r /etc/netns/$1
        ip link del v-$2 2>/dev/null || true # it goes with the namespace, but that may take a while
        """
    DOWN = """
        {iptables} -t nat -F
        sysctl -q {forward}=0
        ip link del br0
        """

    def __init__(self):
        super().__init__()
        # Where br_netfilter is loaded, what crosses the bridge crosses iptables too. The recipe doesn't ask for that.
        with contextlib.suppress(AssertionError):
            self.host.sysctl(f"net.bridge.bridge-nf-call-{self.WORDS['iptables']}", 0)

    def address(self, short):
        return f"{self.WORDS['net']}{ord(short) - ord('a') + 2}"

    def script(self, script, *arguments):
        self.host.run("sh", "-ec", script.format(**self.WORDS), "sh", *arguments)

    def start(self):
        self.script(self.START)

    def add(self, short):
        self.script(self.ADD, self.host.name(short), short, self.address(short))
        return Netns(self.host.name(short), self.host)

    def expose(self, short, first, last, proto):
        self.script(self.EXPOSE, proto, first, last, self.address(short))

    def delete(self, short):
        self.script(self.DELETE, self.host.name(short), short)

    def down(self):
        for short in ("a", "b"):
            if os.path.exists(Netns(self.host.name(short)).path):
                self.delete(short)
        self.script(self.DOWN)


class NsbpfTcx(Contestant):
    key, title = "tcx", "nsbpf, TCX"

    def address(self, short):
        return self.host.endpoint(short).address_of(FAMILY)

    def add(self, short):
        return self.host.add(short)

    def expose(self, short, first, last, proto):
        self.host.nsbpf("expose", self.host.name(short), f"{first}-{last}/{proto}")

    def delete(self, short):
        self.host.nsbpf("del", self.host.name(short))

    def down(self):
        self.host.nsbpf("down")


class NsbpfClsact(NsbpfTcx):
    key, title, attach = "clsact", "nsbpf, clsact", "clsact"


def contestants():
    """The classes, as far as this kernel has what they need."""
    kernel = tuple(int(part) for part in os.uname().release.split(".")[:2])
    return [Bare, Bridge, *([NsbpfTcx] if kernel >= (6, 6) else []), NsbpfClsact]
