# SPDX-License-Identifier: GPL-2.0-only
"""Machines that speak by raw frames: what arrives is seen as it is, and what leaves is exactly what a test wrote.

A machine is a device of a namespace whose kernel owns no address there. So the kernel takes no packet for its own: it
resets no connection, answers no ping and sends no error, and needs no netfilter rule to keep quiet. The host has the
machine's MAC as a permanent neighbour, hence no ARP either.
"""
import select
import socket
import struct
import time

from bpf import inside
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether
from table import Fails

ETH_P_ALL = 3
SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4 = 1, 1
TCP_CHECKSUM = 16  # its offset in the header
ICMP_ERRORS = (3, 11, 12)
ECHO_REQUEST, ECHO_REPLY = 8, 0


class Machine:
    """`address`: of its own; `host`: the address that it knows the host by, `next_hop`: the host's MAC."""

    def __init__(self, netns, device, address):
        self.netns, self.address = netns, address
        self.mac = netns.link(device)["address"]
        netns.ip_batch(f"address flush dev {device}", "address flush dev lo")
        self._device = device
        self._socket, self._sender, self._gso_sender = self._open(ETH_P_ALL), self._open(0), self._open(0)
        self._gso_sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.host = self.next_hop = None
        self.seen = []

    def _open(self, protocol):
        with inside(self.netns.path):
            sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
            sock.bind((self._device, protocol))
        return sock

    def close(self):
        for sock in (self._socket, self._sender, self._gso_sender):
            sock.close()

    def send(self, *packets, gso_size=0):
        """Returns the moments just before and just after: the packets were at the host in between.

        With gso_size each is a partial() TCP packet that stands for many, as a socket's is.
        """
        sock = self._gso_sender if gso_size else self._sender
        frames = [gso_frame(packet, gso_size) if gso_size else bytes(packet) for packet in packets]
        before = time.monotonic()
        for frame in frames:
            sock.send(frame)
        return before, time.monotonic()

    def wait(self, seconds):
        """Until something has arrived, but not for longer."""
        select.select([self._socket], [], [], seconds)

    def collect(self):
        """Takes in what has arrived; returns how much there is now."""
        while True:
            try:
                self.seen.append(Ether(self._socket.recv(65536, socket.MSG_DONTWAIT)))
            except BlockingIOError:
                return len(self.seen)


def gso_frame(packet, gso_size):
    """With a struct virtio_net_hdr before it: it becomes the packet's gso_size."""
    start = len(packet) - len(packet[TCP])
    return struct.pack("=BBHHHH", VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO_TCPV4,
                       start + packet[TCP].dataofs * 4, gso_size, start, TCP_CHECKSUM) + bytes(packet)


def partial(packet):
    """The packet with CHECKSUM_PARTIAL: the device will sum up all but the pseudo header."""
    packet = Ether(bytes(packet))
    pseudo_header = socket.inet_aton(packet[IP].src) + socket.inet_aton(packet[IP].dst) + struct.pack(
        "!HH", socket.IPPROTO_TCP, len(packet[TCP]))
    total = sum(struct.unpack("!6H", pseudo_header))
    packet[TCP].chksum = (total & 0xffff) + (total >> 16)
    return packet


def l4(packet):
    return next((packet[layer] for layer in (TCP, UDP, ICMP) if layer in packet), None)


def is_error(packet):
    return ICMP in packet and packet[ICMP].type in ICMP_ERRORS


def source(packet):
    """Address and port; a ping's identifier counts as the port of whoever asks."""
    if ICMP in packet:
        return packet[IP].src, packet[ICMP].id if packet[ICMP].type == ECHO_REQUEST else 0
    return packet[IP].src, l4(packet).sport


def destination(packet):
    if ICMP in packet:
        return packet[IP].dst, packet[ICMP].id if packet[ICMP].type == ECHO_REPLY else 0
    return packet[IP].dst, l4(packet).dport


def name(end):
    """As tables have it."""
    return f"{end[0]}:{end[1]}"


def ends(src, dst, packet):
    """The fields of a packet from one (address, port) to another, as translated() wants them."""
    ports = {"id": src[1] or dst[1]} if ICMP in packet else {"sport": src[1], "dport": dst[1]}
    return {"src": src[0], "dst": dst[0], **ports}


def unsummed(packet):
    """Without its checksums: scapy fills in those that it should have."""
    packet = packet.copy()
    for layer in (packet[IP], l4(packet)):
        del layer.chksum
    return packet


def same(got, wanted, what="a packet"):
    """Every byte is as wanted; its checksums are scapy's."""
    wanted = Ether(bytes(wanted))
    if bytes(got) != bytes(wanted):
        fields = ", ".join(differences(got, wanted))
        raise Fails(f"{what} arrived changed: {fields or 'other bytes'}")


def differences(got, wanted):
    for layer in (Ether, IP, TCP, UDP, ICMP):
        if layer in got and layer in wanted:
            for name, value in got[layer].fields.items():
                if value != wanted[layer].fields.get(name):
                    yield f"{layer.__name__} {name} {value} instead of {wanted[layer].fields.get(name)}"
