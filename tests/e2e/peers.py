# SPDX-License-Identifier: GPL-2.0-only
"""Programs to run inside a namespace, like those of agents.py: UDP peers that talk to many, and floods."""
import json
import socket
import struct
import sys
import threading
import time


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def udp_peer(port):
    """One socket. Each line of stdin, ADDRESS PORT TEXT, is sent; whatever arrives is said."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("0.0.0.0", int(port)))
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
    first, = struct.unpack_from("!H", frame, 36)
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    tcp = frame[23] == socket.IPPROTO_TCP
    struct.pack_into("!HH", frame, 34, 0, 0)
    struct.pack_into("!H", frame, 50 if tcp else 40, 0)
    rest = sum16(frame[26:34] + frame[34:] + bytes(len(frame) % 2)) + frame[23] + len(frame) - 34
    say(ready=device)
    end = time.monotonic() + float(seconds)
    while number % 1000 or time.monotonic() < end:
        sport, dport = 1024 + number % 60000, first + number // 60000
        struct.pack_into("!HH", frame, 34, sport, dport)
        if tcp:
            total = rest + sport + dport
            total = (total & 0xffff) + (total >> 16)
            struct.pack_into("!H", frame, 50, ~((total & 0xffff) + (total >> 16)) & 0xffff)
        try:
            sock.send(frame)
        except OSError:  # the device's queue is full
            continue
        number += 1
    say(sent=number)


if __name__ == "__main__":
    {"udp-peer": udp_peer, "flood": flood}[sys.argv[1]](*sys.argv[2:])
