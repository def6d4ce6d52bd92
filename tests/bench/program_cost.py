# SPDX-License-Identifier: GPL-2.0-only
"""What one packet costs in the BPF programs alone: of an established, masqueraded connection, and the first of one, in
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
from contestant import NsbpfClsact
from frames import ACK, SYN, SYN_ACK, frame, tcp, udp
from topology import HOST_ADDRESS, HOST_ADDRESS6, OUTSIDE_FAR, OUTSIDE_FAR6, bpffs_mounts

BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS = 5, 3
RETURN_PASS = struct.pack("=BBhiBBhi", 0xb7, 0, 0, PASS, 0x95, 0, 0, 0)  # r0 = TC_ACT_UNSPEC; exit
PORT, TCP_PORT, NEW_PORTS = 40000, 40001, range(40002, 60000)  # what a client's stack takes: none can be kept
BATCHES = 20

PROGRAMS = {
    "empty": "empty (part of the others)",
    "udp out": "from_endpoint, UDP",
    "udp in": "from_uplink, UDP",
    "tcp out": "from_endpoint, TCP",
    "tcp in": "from_uplink, TCP",
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


class Programs:
    """A host's programs, with one UDP and one TCP connection of endpoint "a" to the outside in each family it has."""

    def __init__(self, host):
        self.host = host
        self.info = host.endpoint("a").info
        self.device, self.uplink = host.link(self.info["device"]), host.link("up0")
        self.outside_mac = host.outside.link("wan0")["address"]
        pins = next(path for path in (f"{mount}/nsbpf/{host.cookie:016x}/programs" for mount in bpffs_mounts())
                    if os.path.exists(path))
        self.fds = {"empty": load_empty(), "out": obj_get(f"{pins}/from_endpoint"), "in": obj_get(f"{pins}/from_uplink")}
        self.addresses = {6 if ":" in address else 4: address for address in self.info["addresses"]}
        self.new_flows = {family: ((dport, sport) for dport in itertools.count(1000) for sport in NEW_PORTS)
                          for family in self.addresses}
        self.runs = {}
        for family in self.addresses:
            host.ping(FAMILIES[family][1])  # a test run sends nothing, so the router's MAC would never be known
        with inside(host.path):
            for family in self.addresses:
                self._connection("udp", family, udp, PORT)
                self._connection("tcp", family, tcp, TCP_PORT)
                packet = bytes(self.runs["udp out", family].data_in.raw)
                self.runs["empty", family] = TestRun(self.fds["empty"], packet, self.device["ifindex"], PASS)

    def rows(self):
        """What there is to measure."""
        return [(name, family) for name in PROGRAMS for family in self.addresses]

    def close(self):
        for fd in self.fds.values():
            os.close(fd)

    def _out(self, family, proto, build):
        _, server, _ = FAMILIES[family]
        packet = frame(self.info["mac"], self.device["address"], self.addresses[family], server, proto, build)
        return TestRun(self.fds["out"], packet, self.device["ifindex"])

    def _in(self, family, proto, build):
        host, server, _ = FAMILIES[family]
        packet = frame(self.outside_mac, self.uplink["address"], server, host, proto, build)
        return TestRun(self.fds["in"], packet, self.uplink["ifindex"])

    def _connection(self, name, family, l4, port):
        flags = [(SYN,), (SYN_ACK,), (ACK,)] if l4 is tcp else [()] * 3
        first = self._out(family, *l4(port, 80, *flags[0]))
        first.once()
        _, _, header = FAMILIES[family]
        nat_port, = struct.unpack_from("!H", first.data_out.raw, 14 + header)
        self._in(family, *l4(80, nat_port, *flags[1])).once()
        self.runs[f"{name} out", family] = self._out(family, *l4(port, 80, *flags[2]))
        self.runs[f"{name} in", family] = self._in(family, *l4(80, nat_port, *flags[2]))
        for run in (self.runs[f"{name} {way}", family] for way in ("out", "in")):  # the first ones meet cold caches
            for _ in range(100):
                run.once()

    def batch(self, name, family, count):
        """Median nanoseconds of so many runs."""
        with inside(self.host.path):
            if name != "new":
                return statistics.median(self.runs[name, family].once() for _ in range(count))
            flows = itertools.islice(self.new_flows[family], count)
            return statistics.median(self._out(family, *udp(sport, dport)).once() for dport, sport in flows)


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
    """Program → family → samples. How they are attached makes no difference: the clsact one is there on any kernel."""
    samples = {}
    bench.progress.milestone("BPF programs")
    with bench.attempt("BPF programs"), bench.entrants([NsbpfClsact]) as (entrant,):
        entrant.prepare()
        for (name, family), medians in program_cost(entrant, bench.plan.program_runs).items():
            samples.setdefault(name, {})[f"IPv{family}"] = medians
    return samples
