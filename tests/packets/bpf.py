# SPDX-License-Identifier: GPL-2.0-only
"""bpf(2) by ctypes: run a pinned program on one packet, read pinned maps.

Packets come as from a NIC that has summed all of their bytes (CHECKSUM_COMPLETE), if the kernel can do that: then a run
fails if the sum that it leaves behind is not that of the bytes any more. A receiver would log "hw csum failure". With
`summed=False` nobody has summed them: for packets whose length changes. The kernel drops the sum of those, but its test
run compares it all the same.
"""
import contextlib
import ctypes
import errno
import os
import platform
import struct

BPF_MAP_LOOKUP_ELEM, BPF_MAP_UPDATE_ELEM, BPF_MAP_GET_NEXT_KEY = 1, 2, 4
BPF_OBJ_GET, BPF_PROG_TEST_RUN, BPF_MAP_LOOKUP_BATCH = 7, 10, 24

SYS_BPF = {"x86_64": 321, "aarch64": 280, "riscv64": 280, "ppc64le": 361, "s390x": 351}[platform.machine()]
CLONE_NEWNET = 0x40000000
TEST_CHECKSUM_COMPLETE = 1 << 2  # BPF_F_TEST_SKB_CHECKSUM_COMPLETE
TEST_FLAGS = TEST_CHECKSUM_COMPLETE if tuple(map(int, platform.release().split(".")[:2])) >= (6, 11) else 0

libc = ctypes.CDLL(None, use_errno=True)

PASS, SHOT, REDIRECT = -1, 2, 7


def bpf(command, *fields):
    """The union bpf_attr of one command, as (offset, format, value); returns the buffer as the kernel left it."""
    attr = bytearray(144)
    for offset, fmt, value in fields:
        struct.pack_into("=" + fmt, attr, offset, value)
    buf = (ctypes.c_char * len(attr)).from_buffer(attr)
    ret = libc.syscall(SYS_BPF, command, ctypes.byref(buf), len(attr))
    if ret < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ret, attr


def obj_get(path):
    name = ctypes.create_string_buffer(os.fsencode(path))
    return bpf(BPF_OBJ_GET, (0, "Q", ctypes.addressof(name)))[0]


@contextlib.contextmanager
def inside(netns):
    """This thread in another network namespace: where a test run looks for the device and does its FIB lookups."""
    with open("/proc/thread-self/ns/net") as old, open(netns) as new:
        setns(new.fileno())
        try:
            yield
        finally:
            setns(old.fileno())


def setns(fd):
    if libc.setns(fd, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def sk_buff(ifindex, ingress_ifindex=0, gso_size=0, gso_segs=0):
    """struct __sk_buff; a test run accepts no other field but these and a few that nobody needs here."""
    ctx = bytearray(192)
    struct.pack_into("=II", ctx, 36, ingress_ifindex, ifindex)
    struct.pack_into("=I", ctx, 164, gso_segs)
    struct.pack_into("=I", ctx, 176, gso_size)
    return ctx


class Run:
    """One test run of a classifier, with nothing left to do but the system call; `data` is the packet, to be changed
    between two runs. It runs in the network namespace of the caller."""

    def __init__(self, fd, packet, ifindex, summed=True, **ctx):
        self.data = ctypes.create_string_buffer(bytes(packet), len(packet))
        self._out = ctypes.create_string_buffer(len(packet) + 1024)  # an ICMP error is longer than what it is about
        self._ctx = (ctypes.c_char * 192).from_buffer(sk_buff(ifindex, **ctx))
        attr = bytearray(144)
        struct.pack_into("=IIIIQQ", attr, 0, fd, 0, len(packet), len(self._out), ctypes.addressof(self.data),
                         ctypes.addressof(self._out))
        struct.pack_into("=I4xQ8xI", attr, 40, len(self._ctx), ctypes.addressof(self._ctx),
                         TEST_FLAGS if summed else 0)
        self._wanted = bytes(attr)
        self._attr = (ctypes.c_char * len(attr)).from_buffer(attr)
        self._call = (SYS_BPF, BPF_PROG_TEST_RUN, ctypes.byref(self._attr), len(attr))

    def __call__(self):
        """The verdict."""
        self._attr.raw = self._wanted  # the kernel has written its results over it
        if libc.syscall(*self._call) < 0:
            error = ctypes.get_errno()
            assert error != errno.EBADMSG, "skb->csum is not the sum of the packet"
            raise OSError(error, os.strerror(error))
        return struct.unpack_from("=i", self._attr, 4)[0]

    @property
    def packet(self):
        """As the program left it."""
        return self._out.raw[:struct.unpack_from("=I", self._attr, 12)[0]]


class Program:
    """A pinned program, run in one network namespace."""

    def __init__(self, path, netns):
        self.fd = obj_get(path)
        self.netns = netns

    def close(self):
        os.close(self.fd)

    def prepare(self, packet, ifindex, **ctx):
        return Run(self.fd, packet, ifindex, **ctx)

    def run(self, packet, ifindex, **ctx):
        """(verdict, packet as the program left it)"""
        run = self.prepare(packet, ifindex, **ctx)
        with inside(self.netns):
            verdict = run()
        return verdict, run.packet


def possible_cpus():
    with open("/sys/devices/system/cpu/possible") as file:
        return int(file.read().strip().replace(",", "-").split("-")[-1]) + 1


class Map:
    """A pinned map; keys and values are bytes."""

    def __init__(self, path, key_size, value_size):
        self.fd = obj_get(path)
        self.key_size = key_size
        self.value_size = value_size
        with open(f"/proc/self/fdinfo/{self.fd}", encoding="utf-8") as info:
            sizes = dict(line.split(":", 1) for line in info)
        # The kernel writes as many bytes as it has.
        assert (key_size, value_size) == (int(sizes["key_size"]), int(sizes["value_size"])), path
        self.max_entries = int(sizes["max_entries"])

    def close(self):
        os.close(self.fd)

    def lookup(self, key):
        key = ctypes.create_string_buffer(key, self.key_size)
        value = ctypes.create_string_buffer(self.value_size)
        bpf(BPF_MAP_LOOKUP_ELEM, (0, "I", self.fd), (8, "Q", ctypes.addressof(key)),
            (16, "Q", ctypes.addressof(value)))
        return value.raw

    def update(self, key, value):
        key = ctypes.create_string_buffer(key, self.key_size)
        value = ctypes.create_string_buffer(value, self.value_size)
        bpf(BPF_MAP_UPDATE_ELEM, (0, "I", self.fd), (8, "Q", ctypes.addressof(key)),
            (16, "Q", ctypes.addressof(value)))

    def values(self):
        """Of an array: all of them in a row."""
        values = ctypes.create_string_buffer(self.max_entries * self.value_size)
        keys = ctypes.create_string_buffer(self.max_entries * self.key_size)
        last = ctypes.create_string_buffer(self.key_size)
        with contextlib.suppress(FileNotFoundError):  # it says so at the end
            bpf(BPF_MAP_LOOKUP_BATCH, (8, "Q", ctypes.addressof(last)), (16, "Q", ctypes.addressof(keys)),
                (24, "Q", ctypes.addressof(values)), (32, "I", self.max_entries), (36, "I", self.fd))
        return values.raw

    def keys(self):
        key, following = None, ctypes.create_string_buffer(self.key_size)
        while True:
            try:
                bpf(BPF_MAP_GET_NEXT_KEY, (0, "I", self.fd),
                    (8, "Q", ctypes.addressof(key) if key else 0), (16, "Q", ctypes.addressof(following)))
            except FileNotFoundError:
                return
            key = ctypes.create_string_buffer(following.raw, self.key_size)
            yield key.raw

    def items(self):
        for key in self.keys():
            # An entry may expire between the two calls.
            with contextlib.suppress(FileNotFoundError):
                yield key, self.lookup(key)


class PerCpuCounters(Map):
    """A per-CPU array of one u64 each."""

    def __init__(self, path):
        super().__init__(path, 4, 8)
        self.value_size = 8 * possible_cpus()

    def total(self, index):
        return sum(struct.unpack(f"={self.value_size // 8}Q", self.lookup(struct.pack("=I", index))))
