# SPDX-License-Identifier: GPL-2.0-only
"""What one packet costs in the BPF programs alone: of an established connection on each way, and the first of one, in
both families.

BPF_PROG_TEST_RUN repeats a program on one and the same buffer. These programs rewrite it, so that from the second time
on they would meet a packet that is none of theirs: each run is a system call of its own here, which finds caches less
warm than a flood of packets does. What an empty program takes that way is the part that is not the program's.
"""
import ctypes
import itertools
import os
import statistics
import struct

from bpf import BPF_PROG_TEST_RUN, PASS, REDIRECT, bpf, inside, obj_get, sk_buff
from contestant import FIRST_PORT, NsbpfClsact
from frames import ACK, SYN, SYN_ACK, frame, tcp, udp
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_FAR, OUTSIDE_FAR6, bpffs_mounts

BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS = 5, 3
RETURN_PASS = struct.pack("=BBhiBBhi", 0xb7, 0, 0, PASS, 0x95, 0, 0, 0)  # r0 = TC_ACT_UNSPEC; exit
PORT, TCP_PORT, NEW_PORTS = 40000, 40001, range(40002, 60000)  # what a client's stack takes: none can be kept
EXPOSED = FIRST_PORT  # of endpoint "b", UDP
BATCHES = 20

PROGRAMS = {
    "empty": "empty (part of the others)",
    "udp out": "from_endpoint, UDP",
    "udp in": "from_uplink, UDP",
    "tcp out": "from_endpoint, TCP",
    "tcp in": "from_uplink, TCP",
    "exposed in": "from_uplink, to an exposed port",
    "exposed out": "from_endpoint, its answer",
    "neighbour": "from_endpoint, to another one",
    "hairpin": "from_endpoint, by the host's port",
    "new": "from_endpoint, first UDP",
}
# The host, the server, and how long an IP header is.
FAMILIES = {4: (HOST_ADDRESS, OUTSIDE_FAR, 20), 6: (HOST_ADDRESS6, OUTSIDE_FAR6, 40)}


def load_empty():
    insns = ctypes.create_string_buffer(RETURN_PASS, len(RETURN_PASS))
    licence = ctypes.create_string_buffer(b"GPL")
    return bpf(BPF_PROG_LOAD, (0, "I", BPF_PROG_TYPE_SCHED_CLS), (4, "I", len(RETURN_PASS) // 8),
               (8, "Q", ctypes.addressof(insns)), (16, "Q", ctypes.addressof(licence)))[0]


class TestRun:
    """One program on one packet, in this thread's network namespace."""

    def __init__(self, fd, packet, ifindex, verdict=REDIRECT):
        self.data_in = ctypes.create_string_buffer(packet, len(packet))
        self.data_out = ctypes.create_string_buffer(len(packet) + 256)
        self.ctx = ctypes.create_string_buffer(bytes(sk_buff(ifindex)))
        self.verdict = verdict
        self.fields = ((0, "I", fd), (8, "I", len(packet)), (12, "I", len(self.data_out)),
                       (16, "Q", ctypes.addressof(self.data_in)), (24, "Q", ctypes.addressof(self.data_out)),
                       (40, "I", len(self.ctx) - 1), (48, "Q", ctypes.addressof(self.ctx)))

    def once(self):
        """Nanoseconds."""
        _, attr = bpf(BPF_PROG_TEST_RUN, *self.fields)
        verdict, = struct.unpack_from("=i", attr, 4)
        if verdict != self.verdict:
            raise AssertionError(f"the program's verdict is {verdict} instead of {self.verdict}")
        return struct.unpack_from("=I", attr, 36)[0]


def source_port(run, family):
    """That a packet has when it leaves."""
    run.once()
    return struct.unpack_from("!H", run.data_out.raw, 14 + FAMILIES[family][2])[0]


class Programs:
    """A host's programs, with connections of endpoint "a" in each family it has: to the outside by UDP and TCP, to "b"
    directly, and to "b" by the host's EXPOSED port. By that port the outside has one, too."""

    def __init__(self, host):
        self.host = host
        self.infos = {short: host.endpoint(short).info for short in ("a", "b")}
        self.devices = {short: host.link(info["device"]) for short, info in self.infos.items()}
        self.uplink = host.link("up0")
        self.outside_mac = host.outside.link("wan0")["address"]
        pins = next(path for path in (f"{mount}/nsbpf/{host.cookie:016x}/programs" for mount in bpffs_mounts())
                    if os.path.exists(path))
        self.fds = {"empty": load_empty(),
                    "out": obj_get(f"{pins}/from_endpoint"), "in": obj_get(f"{pins}/from_uplink")}
        self.addresses = {short: {6 if ":" in address else 4: address for address in info["addresses"]}
                          for short, info in self.infos.items()}
        self.families = list(self.addresses["a"])
        self.new_flows = {family: ((dport, sport) for dport in itertools.count(1000) for sport in NEW_PORTS)
                          for family in self.families}
        self.runs = {}
        for family in self.families:
            host.ping(FAMILIES[family][1])  # a test run sends nothing, so the router's MAC would never be known
        with inside(host.path):
            for family in self.families:
                self._masqueraded("udp", family, udp, PORT)
                self._masqueraded("tcp", family, tcp, TCP_PORT)
                self._to_exposed(family)
                self.runs["neighbour", family] = self._out("a", family, self.addresses["b"][family], *udp(PORT, 80))
                packet = bytes(self.runs["udp out", family].data_in.raw)
                self.runs["empty", family] = TestRun(self.fds["empty"], packet, self.devices["a"]["ifindex"], PASS)
            for run, _ in itertools.product(self.runs.values(), range(100)):  # the first ones meet cold caches
                run.once()

    def rows(self):
        """What there is to measure."""
        return [(name, family) for name in PROGRAMS for family in self.families]

    def close(self):
        for fd in self.fds.values():
            os.close(fd)

    def _out(self, short, family, daddr, proto, build):
        device = self.devices[short]
        packet = frame(self.infos[short]["mac"], device["address"], self.addresses[short][family], daddr, proto, build)
        return TestRun(self.fds["out"], packet, device["ifindex"])

    def _in(self, family, proto, build):
        host, server, _ = FAMILIES[family]
        packet = frame(self.outside_mac, self.uplink["address"], server, host, proto, build)
        return TestRun(self.fds["in"], packet, self.uplink["ifindex"])

    def _masqueraded(self, name, family, l4, port):
        flags = [(SYN,), (SYN_ACK,), (ACK,)] if l4 is tcp else [()] * 3
        server = FAMILIES[family][1]
        nat_port = source_port(self._out("a", family, server, *l4(port, 80, *flags[0])), family)
        self._in(family, *l4(80, nat_port, *flags[1])).once()
        self.runs[f"{name} out", family] = self._out("a", family, server, *l4(port, 80, *flags[2]))
        self.runs[f"{name} in", family] = self._in(family, *l4(80, nat_port, *flags[2]))

    def _to_exposed(self, family):
        host, server, _ = FAMILIES[family]
        coming, hairpin = self._in(family, *udp(PORT, EXPOSED)), self._out("a", family, host, *udp(PORT, EXPOSED))
        self.runs["exposed in", family] = coming
        client_port = source_port(coming, family)
        self.runs["exposed out", family] = self._out("b", family, server, *udp(EXPOSED, client_port))
        self._out("b", family, host, *udp(EXPOSED, source_port(hairpin, family))).once()
        self.runs["hairpin", family] = hairpin

    def batch(self, name, family, count):
        """Median nanoseconds of so many runs."""
        with inside(self.host.path):
            if name != "new":
                return statistics.median(self.runs[name, family].once() for _ in range(count))
            flows = itertools.islice(self.new_flows[family], count)
            server = FAMILIES[family][1]
            packets = (udp(sport, dport) for dport, sport in flows)
            return statistics.median(self._out("a", family, server, *packet).once() for packet in packets)


def program_cost(contestant, count):
    """Nanoseconds: program, family → the medians of batches of `count` runs in all."""
    programs = Programs(contestant.host)
    try:
        size = max(1, count // BATCHES)
        medians = {row: [] for row in programs.rows()}
        for _ in range(BATCHES):
            for name, family in medians:
                # Each first packet is a connection that stays: some thousands will do.
                medians[name, family].append(programs.batch(name, family, min(size, 500) if name == "new" else size))
        return medians
    finally:
        programs.close()


def steps(_):
    return 1


def programs(bench):
    """Program → family → samples. How they are attached makes no difference: clsact is there on any kernel."""
    samples = {}
    bench.progress.milestone("BPF programs")
    with bench.attempt("BPF programs"), bench.entrants([NsbpfClsact]) as (entrant,):
        entrant.prepare()
        for (name, family), medians in program_cost(entrant, bench.plan.program_runs).items():
            samples.setdefault(name, {})[f"IPv{family}"] = medians
    return samples
