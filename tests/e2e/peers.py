# SPDX-License-Identifier: GPL-2.0-only
"""Programs to run inside a namespace, like those of agents.py: UDP peers that talk to many, and floods."""
import json
import socket
import struct
import sys
import threading
import time


ETH_P_IPV6 = b"\x86\xdd"


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def udp_peer(address, port):
    """One socket. Each line of stdin, ADDRESS PORT TEXT, is sent; whatever arrives is said."""
    sock = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((address, int(port)))
    say(ready=sock.getsockname()[1])

    def receive():
        while True:
            try:
                data, where = sock.recvfrom(65535)
            except OSError:  # an ICMP error about what was sent
                continue
            say(data=data.decode(), peer=where[0], port=where[1])
    threading.Thread(target=receive, daemon=True).start()
    for line in sys.stdin:
        address, port, text = line.split()
        sock.sendto(text.encode(), (address, int(port)))


def sum16(data):
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xffff) + (total >> 16)
    return total


def flood(device, frame, seconds):
    """First packets of as many flows as it gets out: `frame` with other ports, from its own on, and right checksums."""
    frame, number = bytearray.fromhex(frame), 0
    ipv6 = frame[12:14] == ETH_P_IPV6
    l4, proto, addresses = (54, frame[20], frame[22:54]) if ipv6 else (34, frame[23], frame[26:34])
    tcp = proto == socket.IPPROTO_TCP
    where = l4 + (16 if tcp else 6)
    first, = struct.unpack_from("!H", frame, l4 + 2)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    struct.pack_into("!HH", frame, l4, 0, 0)
    struct.pack_into("!H", frame, where, 0)
    rest = sum16(addresses + frame[l4:] + bytes(len(frame) % 2)) + proto + len(frame) - l4
    say(ready=device)
    end = time.monotonic() + float(seconds)
    while number % 1000 or time.monotonic() < end:
        sport, dport = 1024 + number % 60000, first + number // 60000
        struct.pack_into("!HH", frame, l4, sport, dport)
        if tcp or ipv6:  # IPv4's UDP can do without
            total = rest + sport + dport
            total = (total & 0xffff) + (total >> 16)
            struct.pack_into("!H", frame, where, ~((total & 0xffff) + (total >> 16)) & 0xffff or 0xffff)
        try:
            sock.send(frame)
        except OSError:  # the device's queue is full
            continue
        number += 1
    say(sent=number)


if __name__ == "__main__":
    {"udp-peer": udp_peer, "flood": flood}[sys.argv[1]](*sys.argv[2:])
