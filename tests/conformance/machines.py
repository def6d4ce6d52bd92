# SPDX-License-Identifier: GPL-2.0-only
"""Machines that speak by raw frames: what arrives is seen as it is, and what leaves is exactly what a test wrote.

A machine is one family's half of a device of a namespace whose kernel owns no address there. So the kernel takes no
packet for its own: it resets no connection, answers no ping and sends no error, and needs no netfilter rule to keep
quiet. The host has the machine's MAC as a permanent neighbour, hence neither ARP nor neighbour discovery.
"""
import ipaddress
import select
import socket
import struct
import time

from bpf import inside
from row_families import family_of
from scapy.layers.inet import TCP, UDP
from scapy.layers.inet6 import IPv6ExtHdrDestOpt, IPv6ExtHdrFragment, IPv6ExtHdrHopByHop
from scapy.layers.l2 import Ether
from table import Fails

SO_RCVBUFFORCE = 33
SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
VIRTIO_NET_HDR_F_NEEDS_CSUM = 1
VIRTIO_NET_HDR_GSO = {4: 1, 6: 4}  # TCPV4, TCPV6
TCP_CHECKSUM = 16  # its offset in the header
EXTENSIONS = (IPv6ExtHdrHopByHop, IPv6ExtHdrDestOpt, IPv6ExtHdrFragment)


def silence(netns, device):
    """Its kernel has nothing to say there any more."""
    netns.ip_batch(f"address flush dev {device}", "address flush dev lo")
    netns.sysctl("net.ipv6.conf.all.disable_ipv6", 1)


class Machine:
    """`address`: of its own; `host`: the address that it knows the host by, `next_hop`: the host's MAC."""

    def __init__(self, family, netns, device, address, host, next_hop):
        self.address, self.host, self.next_hop = address, host, next_hop
        self.mac = netns.link(device)["address"]
        self._netns, self._device = netns, device
        self._socket, self._sender, self._gso_sender = self._open(family.ethertype), self._open(0), self._open(0)
        self._gso_sender.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self._socket.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 32 << 20)
        self.seen = []

    def _open(self, protocol):
        with inside(self._netns.path):
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
    return struct.pack("=BBHHHH", VIRTIO_NET_HDR_F_NEEDS_CSUM, VIRTIO_NET_HDR_GSO[packet.payload.version],
                       start + packet[TCP].dataofs * 4, gso_size, start, TCP_CHECKSUM) + bytes(packet)


def partial(packet):
    """The packet with CHECKSUM_PARTIAL: the device will sum up all but the pseudo header."""
    packet = Ether(bytes(packet))
    ends = b"".join(ipaddress.ip_address(end).packed for end in (packet.payload.src, packet.payload.dst))
    pseudo_header = ends + struct.pack("!HH", socket.IPPROTO_TCP, len(packet[TCP]))
    total = sum(struct.unpack(f"!{len(pseudo_header) // 2}H", pseudo_header))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    packet[TCP].chksum = total
    return packet


def first_segment(packet, gso_size):
    """What a GSO packet becomes first, but for its checksum."""
    segment = unsummed(packet)
    tcp, data = segment[TCP], bytes(segment[TCP].payload)
    tcp.remove_payload()
    tcp.flags = "A"
    for field in {"len", "plen"} & set(segment.payload.fields):
        delattr(segment.payload, field)
    return segment / data[:gso_size]


def l4(packet):
    """What is behind the IP header and IPv6's extension headers."""
    layer = packet.payload.payload
    while isinstance(layer, EXTENSIONS):
        layer = layer.payload
    return layer


def headers_size(packet):
    """Of all up to TCP, UDP or ICMP."""
    return len(packet.payload) - len(l4(packet))


def is_error(packet):
    return family_of(packet).error(packet) is not None


def source(packet):
    """Address and port; a ping's identifier counts as the port of whoever asks."""
    return packet.payload.src, port(packet, "sport", family_of(packet).is_request)


def destination(packet):
    return packet.payload.dst, port(packet, "dport", family_of(packet).is_reply)


def port(packet, field, has_identifier):
    if isinstance(l4(packet), (TCP, UDP)):
        return getattr(l4(packet), field)
    return family_of(packet).echo(packet).id if has_identifier(packet) else 0


def name(end):
    """As tables have it."""
    return f"[{end[0]}]:{end[1]}" if ":" in end[0] else f"{end[0]}:{end[1]}"


def ends(src, dst, packet):
    """The fields of a packet from one (address, port) to another, as translated() wants them."""
    ports = {"sport": src[1], "dport": dst[1]} if isinstance(l4(packet), (TCP, UDP)) else {"id": src[1] or dst[1]}
    return {"src": src[0], "dst": dst[0], **ports}


def unsummed(packet):
    """Without its checksums: scapy fills in those that it should have."""
    packet = packet.copy()
    for layer in (packet.payload, l4(packet)):
        for field in {"chksum", "cksum"} & set(layer.fields):
            delattr(layer, field)
    return packet


def same(got, wanted, what="a packet"):
    """Every byte is as wanted; its checksums are scapy's."""
    wanted = Ether(bytes(wanted))
    if bytes(got) != bytes(wanted):
        fields = ", ".join(differences(got, wanted))
        raise Fails(f"{what} arrived changed: {fields or 'other bytes'}")


def differences(got, wanted):
    for one, other in zip(layers(got), layers(wanted)):
        for field, value in one.fields.items():
            if value != other.fields.get(field):
                yield f"{type(one).__name__} {field} {value} instead of {other.fields.get(field)}"


def layers(packet):
    while packet:
        yield packet
        packet = packet.payload
