# SPDX-License-Identifier: GPL-2.0-only
"""Frames into and out of devices of other namespaces, by this process alone.

A Tap is a packet socket that was opened in a device's namespace. What is sent by one is carried through veth pairs and
programs by the CPU that sends it, so this process stays on one CPU, and a Barrier tells when all of it has arrived:
nothing sleeps, and no agent has to be asked.
"""
import contextlib
import os
import socket
import struct

from bpf import inside
from scapy.layers.inet import IP, TCP, UDP, in4_pseudoheader
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import Ether
from scapy.utils import checksum

ETH_P_ALL, ETH_P_IP, ETH_P_IPV6, ETH_P_EXPERIMENT = 3, 0x0800, 0x86dd, 0x88b5
SOL_PACKET, PACKET_VNET_HDR = 263, 15
SO_RCVBUFFORCE = 33
PACKET_HOST = 0
ETHER_SIZE = 14
CHECKSUM_FIELD = {TCP: 16, UDP: 6}

# struct virtio_net_hdr: flags, gso_type, hdr_len, gso_size, csum_start, csum_offset
VNET = struct.Struct("=BBHHHH")
NEEDS_CSUM, GSO_TCPV4, GSO_TCPV6 = 1, 1, 4


@contextlib.contextmanager
def one_cpu():
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {sorted(before)[os.getpid() % len(before)]})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class Tap:
    """The IP frames that arrive at a device for its own MAC."""

    def __init__(self, netns, device):
        with inside(netns.path):
            self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            self.socket.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
            self.socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
            self.socket.bind((device, ETH_P_ALL))
        self.mac = netns.link(device)["address"]

    def close(self):
        self.socket.close()

    def send(self, frame, linear=0):
        """With so many bytes in the linear part, if the frame is longer than a page."""
        self.socket.send(VNET.pack(0, 0, linear, 0, 0, 0) + bytes(frame))

    def send_partial(self, frame, gso_size=0):
        """As a local TCP or UDP sends it: the checksum left to the device, and the cutting into segments as well."""
        frame = bytes(frame)
        packet = Ether(frame)
        layer = TCP if TCP in packet else UDP
        if IPv6 in packet:
            start, gso_type = ETHER_SIZE + 40, GSO_TCPV6
            header = frame[ETHER_SIZE + 8:start] + struct.pack("!II", len(frame) - start, packet[IPv6].nh)
        else:
            start, gso_type = ETHER_SIZE + packet[IP].ihl * 4, GSO_TCPV4
            header = in4_pseudoheader(packet[IP].proto, packet[IP], len(frame) - start)
        where = start + CHECKSUM_FIELD[layer]
        pseudo = ~checksum(header) & 0xffff
        frame = frame[:where] + struct.pack("!H", pseudo) + frame[where + 2:]
        headers = start + (packet[TCP].dataofs * 4 if layer is TCP else 8)
        self.socket.send(VNET.pack(NEEDS_CSUM, gso_type if gso_size else 0, headers, gso_size, start,
                                   CHECKSUM_FIELD[layer]) + frame)

    def receive(self):
        """All that has arrived, as it would be on a wire: checksums that were left to the device are filled in."""
        frames = []
        while True:
            try:
                data, where = self.socket.recvfrom(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return frames
            except OSError:  # ENETDOWN, once, when the device goes down or away
                continue
            if where[2] == PACKET_HOST and where[1] in (ETH_P_IP, ETH_P_IPV6):
                frames.append(complete(data))


def silent_tap(netns, device):
    """A Tap of a namespace whose own stack hears and says nothing from now on."""
    for name, value in (("net.ipv6.conf.all.disable_ipv6", 1), ("net.ipv4.ip_forward", 0)):
        netns.sysctl(name, value)
    netns.ip("address", "flush", "scope", "global")
    return Tap(netns, device)


def complete(data):
    flags, _, _, _, start, offset = VNET.unpack_from(data)
    frame = data[VNET.size:]
    if not flags & NEEDS_CSUM:
        return frame
    where = start + offset
    filled = checksum(frame[start:])
    if offset == CHECKSUM_FIELD[UDP]:
        filled = filled or 0xffff  # 0 would mean none
    return frame[:where] + struct.pack("!H", filled) + frame[where + 2:]


class Barrier:
    """wait() returns when what this CPU had in its queues before has arrived, however many devices it went through.

    A frame by a veth pair of our own waits in the CPU's queue behind all of that, so one round is one device's worth.
    """
    ROUNDS = 8

    def __init__(self, host):
        netns = host.machine("barrier")
        host.connect(netns, "bar0", netns, "bar1")
        with inside(netns.path):
            self.here, self.there = (socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) for _ in range(2))
            self.here.bind(("bar0", 0))
            self.there.bind(("bar1", ETH_P_EXPERIMENT))
        self.frame = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02", type=ETH_P_EXPERIMENT)) + bytes(46)

    def wait(self):
        for _ in range(self.ROUNDS):
            self.here.send(self.frame)
            self.there.recv(64)

    def close(self):
        self.here.close()
        self.there.close()
