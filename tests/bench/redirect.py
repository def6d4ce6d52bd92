# SPDX-License-Identifier: GPL-2.0-only
"""The same topology with programs that do nothing but redirect (redirect.bpf.c), attached by TCX where nsbpf's are:
what no datapath at these hooks can beat. They translate nothing, so the outside has a route to the endpoints' subnet,
and its clients use their addresses. On the way from the host to an endpoint there is no program.
"""
import os

from bpf import bpf, inside, obj_get
from bridge import WORDS, address
from contestant import FAMILY, TOOLS, Contestant, Path
from processes import run

BPF_LINK_CREATE, BPF_TCX_INGRESS = 28, 46
UPLINK, FIRST_VETH = 2, 4096  # as in redirect.bpf.c
LENGTH = 128 if FAMILY.number == 6 else 32


class Redirect(Contestant):
    key, title = "redirect", "only a redirect"
    has_commands = False

    def __init__(self):
        super().__init__()
        self.programs, self.links = {}, []

    def prepare(self):
        host, outside = self.host, self.host.outside
        if host.link("up0")["ifindex"] != UPLINK:
            raise AssertionError("up0 has another number than redirect.bpf.c wants")
        host.add_address(f"{address(1)}/{LENGTH}", "lo")
        outside.ip("route", "add", WORDS["subnet"], "via", FAMILY.host)
        outside.ping(FAMILY.host)
        pins = f"/sys/fs/bpf/{host.netns}"
        os.mkdir(pins)
        run("bpftool", "prog", "loadall", f"{TOOLS}/redirect.bpf.o", pins)
        self.programs = {name: obj_get(f"{pins}/{name}") for name in ("from_endpoint", "from_uplink")}
        self.attach_to("from_uplink", UPLINK)
        a, b = self.add("a", 2), self.add("b", 3)
        self.paths = {
            "masquerade": Path(a, outside, FAMILY.outside),
            "expose": Path(outside, b, address(3)),
            "endpoints": Path(a, b, address(3)),
            "host": Path(host, b, address(3)),
        }

    def add(self, short, number):
        """Neither side ever has to ask for a MAC, and neighbours are reached through the host."""
        host, device, own, gateway = self.host, f"v-{short}", address(number), address(1)
        endpoint = host.machine(short)
        host.ip("link", "add", device, "index", FIRST_VETH + number, "type", "veth",
                "peer", "name", "eth0", "netns", endpoint.netns)
        macs = endpoint.link("eth0")["address"], host.link(device)["address"]
        endpoint.add_address(f"{own}/{LENGTH}", "eth0")
        endpoint.ip_batch("link set eth0 up", f"route add {gateway} dev eth0",
                          f"neighbour add {gateway} lladdr {macs[1]} dev eth0 nud permanent",
                          f"route add default via {gateway}")
        host.ip_batch(f"link set {device} up", f"route add {own} dev {device} src {gateway}",
                      f"neighbour add {own} lladdr {macs[0]} dev {device} nud permanent")
        self.attach_to("from_endpoint", FIRST_VETH + number)
        return endpoint

    def attach_to(self, program, ifindex):
        """For as long as the link is open."""
        with inside(self.host.path):
            link, _ = bpf(BPF_LINK_CREATE, (0, "I", self.programs[program]), (4, "I", ifindex),
                          (8, "I", BPF_TCX_INGRESS))
        self.links.append(link)

    def close(self):
        for fd in (*self.links, *self.programs.values()):
            os.close(fd)
        super().close()
