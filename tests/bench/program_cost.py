# SPDX-License-Identifier: GPL-2.0-only
"""What one packet costs in the BPF programs alone: of an established, masqueraded connection, and the first of one.

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
from frames import ACK, SYN, SYN_ACK, frame, tcp, udp
from topology import HOST_ADDRESS, OUTSIDE_FAR, bpffs_mounts

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

    def source_port(self):
        """Of the packet as the last run left it."""
        return struct.unpack_from("!H", self.data_out.raw, 34)[0]


class Programs:
    """A host's programs, with one UDP and one TCP connection of endpoint "a" to the outside."""

    def __init__(self, host):
        self.host = host
        self.info = host.endpoint("a").info
        self.device, self.uplink = host.link(self.info["device"]), host.link("up0")
        self.outside_mac = host.outside.link("wan0")["address"]
        pins = next(path for path in (f"{mount}/nsbpf/{host.cookie:016x}/programs" for mount in bpffs_mounts())
                    if os.path.exists(path))
        self.fds = {"empty": load_empty(), "out": obj_get(f"{pins}/from_endpoint"), "in": obj_get(f"{pins}/from_uplink")}
        self.new_flows = ((dport, sport) for dport in itertools.count(1000) for sport in NEW_PORTS)
        with inside(host.path):
            self.runs = {**self._connection("udp", udp, PORT), **self._connection("tcp", tcp, TCP_PORT)}
            packet = bytes(self.runs["udp out"].data_in.raw)
            self.runs["empty"] = TestRun(self.fds["empty"], packet, self.device["ifindex"], PASS)

    def close(self):
        for fd in self.fds.values():
            os.close(fd)

    def _out(self, proto, build):
        packet = frame(self.info["mac"], self.device["address"], self.info["addresses"][0], OUTSIDE_FAR, proto, build)
        return TestRun(self.fds["out"], packet, self.device["ifindex"])

    def _in(self, proto, build):
        packet = frame(self.outside_mac, self.uplink["address"], OUTSIDE_FAR, HOST_ADDRESS, proto, build)
        return TestRun(self.fds["in"], packet, self.uplink["ifindex"])

    def _connection(self, name, l4, port):
        flags = [(SYN,), (SYN_ACK,), (ACK,)] if l4 is tcp else [()] * 3
        first = self._out(*l4(port, 80, *flags[0]))
        first.once()
        self._in(*l4(80, first.source_port(), *flags[1])).once()
        runs = {f"{name} out": self._out(*l4(port, 80, *flags[2])),
                f"{name} in": self._in(*l4(80, first.source_port(), *flags[2]))}
        for run in runs.values():  # the first ones meet cold caches
            for _ in range(100):
                run.once()
        return runs

    def batch(self, name, count):
        """Median nanoseconds of so many runs."""
        with inside(self.host.path):
            if name != "new":
                return statistics.median(self.runs[name].once() for _ in range(count))
            flows = itertools.islice(self.new_flows, count)
            return statistics.median(self._out(*udp(sport, dport)).once() for dport, sport in flows)


def program_cost(contestant, count):
    """Nanoseconds: program → the medians of batches of `count` runs in all."""
    programs = Programs(contestant.host)
    try:
        size = max(1, count // BATCHES)
        medians = {name: [] for name in PROGRAMS}
        for _ in range(BATCHES):
            for name in PROGRAMS:
                # Each first packet is a connection that stays: some thousands will do.
                medians[name].append(programs.batch(name, min(size, 500) if name == "new" else size))
        return medians
    finally:
        programs.close()
