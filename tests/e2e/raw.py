# SPDX-License-Identifier: GPL-2.0-only
"""More programs to run inside a namespace, like those of agents.py: traceroute, ICMP errors and datagrams as they come in."""
import errno
import hashlib
import json
import os
import select
import socket
import struct
import sys

IP_RECVERR, MSG_ERRQUEUE = 11, 0x2000
IP_MTU_DISCOVER, IP_PMTUDISC_PROBE = 10, 3
SO_EE_ORIGIN_ICMP = 2
SO_RCVBUFFORCE = 33


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def catch(proto, port):
    """Every datagram that arrives whole: by UDP at this port, or an ICMP message without its IP header."""
    if proto == "udp":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    else:
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.bind(("0.0.0.0", int(port)))
    say(ready=sock.getsockname()[1])
    while True:
        data, peer = sock.recvfrom(65535)
        data = data if proto == "udp" else data[(data[0] & 15) * 4:]
        say(datagram=[len(data), hashlib.sha256(data).hexdigest()], peer=peer[0], port=peer[1])


def error_of(sock):
    """What the kernel took for an ICMP error about this socket's packets: whose it is, type, code, and MTU."""
    _, control, _, _ = sock.recvmsg(65535, 512, MSG_ERRQUEUE)
    for level, kind, data in control:
        if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR):
            _, origin, number, code, info = struct.unpack_from("=IBBBxI", data)
            if origin == SO_EE_ORIGIN_ICMP:
                return {"from": socket.inet_ntoa(data[20:24]), "type": number, "code": code, "mtu": info}
    return {}


def probe_socket(proto, address, port, ttl):
    kinds = {"udp": (socket.SOCK_DGRAM, 0), "tcp": (socket.SOCK_STREAM, 0),
             "ping": (socket.SOCK_RAW, socket.IPPROTO_ICMP)}
    sock = socket.socket(socket.AF_INET, *kinds[proto])
    sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
    sock.setblocking(False)
    sock.connect_ex((address, port))  # of TCP that is the probe
    return sock


def echo_request():
    header = struct.pack("!BBHHH", 8, 0, 0, os.getpid() & 0xffff, 1)
    total = sum(struct.unpack("!4H", header))
    return header[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + header[4:]


def hop(proto, address, port, ttl):
    """What comes back for one probe with this TTL; a destination that answers or refuses has been reached."""
    with probe_socket(proto, address, port, ttl) as sock:
        if proto != "tcp":
            sock.send(b"probe" if proto == "udp" else echo_request())
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if proto == "tcp" else 0))
        for _, events in poll.poll(2000):
            try:
                return error_of(sock)
            except BlockingIOError:
                refused = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                return {"reached": errno.errorcode[refused] if refused else True}
    return {"from": None}


def traceroute(proto, address, port, most):
    """One probe for each TTL until it gets there."""
    say(ready=address)
    for ttl in range(1, int(most) + 1):
        found = hop(proto, address, int(port), ttl)
        say(ttl=ttl, **found)
        if "reached" in found or found.get("type") == 3:
            break
    say(done=True)


def errors():
    """Every ICMP error that comes in: from whom, type, code and MTU, and whether its checksum is right."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
        say(ready=True)
        while True:
            data, peer = sock.recvfrom(65535)
            message = data[(data[0] & 15) * 4:]
            if message[0] in (3, 11, 12):
                words = struct.unpack(f"!{len(message) // 2}H", message[:len(message) & ~1])
                total = sum(words) + (message[-1] << 8 if len(message) & 1 else 0)
                say(**{"from": peer[0], "type": message[0], "code": message[1], "mtu": words[3],
                       "right": total % 0xffff == 0})


def oversize(address, port, size):
    """One datagram with DF, whatever the kernel thinks that the path takes; and the error that it meets."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
        sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        sock.connect((address, int(port)))
        sock.send(bytes(int(size)))
        poll = select.poll()
        poll.register(sock, 0)
        say(**(error_of(sock) if poll.poll(2000) else {"from": None}))


if __name__ == "__main__":
    {"catch": catch, "traceroute": traceroute, "errors": errors,
     "oversize": oversize}[sys.argv[1]](*sys.argv[2:])
