# SPDX-License-Identifier: GPL-2.0-only
"""What one packet of an established, masqueraded UDP connection costs in the BPF programs alone.

BPF_PROG_TEST_RUN repeats a program on one and the same buffer. These programs rewrite it, so that from the second time
on they would meet a packet that is none of theirs: each run is a system call of its own here, which finds caches less
warm than a flood of packets does. What an empty program takes that way is the part that is not the program's.
"""
import ctypes
import os
import socket
import statistics
import struct

from bpf import BPF_PROG_TEST_RUN, PASS, REDIRECT, bpf, inside, obj_get, sk_buff
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, bpffs_mounts

BPF_PROG_LOAD, BPF_PROG_TYPE_SCHED_CLS = 5, 3
RETURN_PASS = struct.pack("=BBhiBBhi", 0xb7, 0, 0, PASS, 0x95, 0, 0, 0)  # r0 = TC_ACT_UNSPEC; exit
PAYLOAD = bytes(18)
SPORT, DPORT = 20000, 7
BATCHES = 20

PROGRAMS = {
    "empty": "empty (part of the others)",
    "from_endpoint": "from_endpoint",
    "from_uplink": "from_uplink, the answer",
}


def checksum(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return ~total & 0xffff


def datagram(src_mac, dst_mac, saddr, daddr, sport, dport):
    """A frame of UDP by IPv4, its checksums as they have to be."""
    ether = bytes.fromhex((dst_mac + src_mac).replace(":", "")) + b"\x08\x00"
    ends = socket.inet_aton(saddr) + socket.inet_aton(daddr)
    length = 8 + len(PAYLOAD)
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + length, 1, 0, 64, socket.IPPROTO_UDP, 0) + ends
    ip = ip[:10] + struct.pack("!H", checksum(ip)) + ip[12:]
    udp = struct.pack("!HHHH", sport, dport, length, 0) + PAYLOAD
    pseudo = ends + struct.pack("!HH", socket.IPPROTO_UDP, length)
    return ether + ip + udp[:6] + struct.pack("!H", checksum(pseudo + udp) or 0xffff) + udp[8:]


def load_empty():
    insns = ctypes.create_string_buffer(RETURN_PASS, len(RETURN_PASS))
    licence = ctypes.create_string_buffer(b"GPL")
    return bpf(BPF_PROG_LOAD, (0, "I", BPF_PROG_TYPE_SCHED_CLS), (4, "I", len(RETURN_PASS) // 8),
               (8, "Q", ctypes.addressof(insns)), (16, "Q", ctypes.addressof(licence)))[0]


class TestRun:
    """One program on one packet, in this thread's network namespace."""

    def __init__(self, fd, packet, ifindex, verdict):
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


def program_cost(contestant, count):
    """Nanoseconds: program → the medians of batches of `count` runs in all."""
    host = contestant.host
    info = host.endpoint("a").info
    device, uplink = host.link(info["device"]), host.link("up0")
    pins = next(path for path in (f"{mount}/nsbpf/{host.cookie:016x}/programs" for mount in bpffs_mounts())
                if os.path.exists(path))
    fds = {"empty": load_empty(), "from_endpoint": obj_get(f"{pins}/from_endpoint"),
           "from_uplink": obj_get(f"{pins}/from_uplink")}
    try:
        with inside(host.path):
            sent = datagram(info["mac"], device["address"], info["addresses"][0], OUTSIDE_ADDRESS, SPORT, DPORT)
            runs = {"empty": TestRun(fds["empty"], sent, device["ifindex"], PASS),
                    "from_endpoint": TestRun(fds["from_endpoint"], sent, device["ifindex"], REDIRECT)}
            runs["from_endpoint"].once()
            answer = datagram(host.outside.link("wan0")["address"], uplink["address"], OUTSIDE_ADDRESS, HOST_ADDRESS,
                              DPORT, runs["from_endpoint"].source_port())
            runs["from_uplink"] = TestRun(fds["from_uplink"], answer, uplink["ifindex"], REDIRECT)
            return _batches(runs, max(1, count // BATCHES))
    finally:
        for fd in fds.values():
            os.close(fd)


def _batches(runs, size):
    for run in runs.values():  # the first ones meet cold caches
        for _ in range(100):
            run.once()
    medians = {name: [] for name in runs}
    for _ in range(BATCHES):
        for name, run in runs.items():
            medians[name].append(statistics.median(run.once() for _ in range(size)))
    return medians
