# SPDX-License-Identifier: GPL-2.0-only
"""Who is measured. Each has a private host and an outside machine of its own (see topology.py), and two endpoints:

      outside                     host                                     endpoints
     +----------------+          +-------------------------------+        +----------------------+
     | 198.51.100.2 wan0 - veth - up0 198.51.100.1               |        |                      |
     |                |          |       nsbpf, or whatever else | - veth - eth0  "a"            |
     |                |          |       joins the two           | - veth - eth0  "b"            |
     +----------------+          +-------------------------------+        +----------------------+

The bare wire is the veth pair between outside and host, without anything else. With FAMILY=6 all of it is IPv6.
nsbpf's socket hooks are called for every socket of the machine, so all pay for them (0.6 % of connections a second).
Here are the bare wire and nsbpf; the others have files of their own, contestants.py has all of them.
"""
import os
from collections import namedtuple

from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_ADDRESS, OUTSIDE_ADDRESS6, TOP, Host, Netns

TOOLS = os.path.join(TOP, "build", "bench")  # and results

Family = namedtuple("Family", "number host outside any header")
FAMILY = {4: Family(4, HOST_ADDRESS, OUTSIDE_ADDRESS, "0.0.0.0", 20),
          6: Family(6, HOST_ADDRESS6, OUTSIDE_ADDRESS6, "::", 40)}[int(os.environ.get("FAMILY") or 4)]

# Servers listen here; all of it is exposed.
FIRST_PORT, LAST_PORT = 5201, 5206

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
    has_commands = True  # so that setting it up can be timed

    def __init__(self):
        self.host = Host(self.attach)

    def close(self):
        self.host.close()

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

    def expose_singly(self, short, first, last):
        """So many TCP ports, each by a rule of its own."""
        for port in range(first, last + 1):
            self.expose(short, port, port, "tcp")


class Bare(Contestant):
    key, title = "bare", "bare wire"
    has_commands = False

    def prepare(self):
        self.paths = dict.fromkeys(PATHS, Path(self.host.outside, self.host, FAMILY.host))


class NsbpfTcx(Contestant):
    key, title = "tcx", "nsbpf, TCX"

    def address(self, short):
        return self.host.endpoint(short).address_of(FAMILY)

    def add(self, short):
        name = self.host.name(short)
        self.host.nsbpf("add", name)
        return Netns(name, self.host)

    def expose(self, short, first, last, proto):
        self.host.nsbpf("expose", self.host.name(short), f"{first}-{last}/{proto}")

    def delete(self, short):
        self.host.nsbpf("del", self.host.name(short))

    def down(self):
        self.host.nsbpf("down")


class NsbpfClsact(NsbpfTcx):
    key, title, attach = "clsact", "nsbpf, clsact", "clsact"
