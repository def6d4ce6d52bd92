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
from collections import namedtuple

MSG_ERRQUEUE = 0x2000
SO_RCVBUFFORCE = 33
ICMPV6_FILTER = 1

# What is the same in both families, by its numbers.
Family = namedtuple("Family", "number level recverr hops mtu_discover origin offender icmp request reply errors"
                              " unreachable")
IPV4 = Family(socket.AF_INET, socket.IPPROTO_IP, 11, socket.IP_TTL, 10, 2, 20, socket.IPPROTO_ICMP, 8, 0, (3, 11, 12),
              3)
IPV6 = Family(socket.AF_INET6, socket.IPPROTO_IPV6, 25, socket.IPV6_UNICAST_HOPS, 23, 3, 24, socket.IPPROTO_ICMPV6, 128,
              129, (1, 2, 3, 4), 1)
PMTUDISC_PROBE = 3


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def family_of(address):
    return IPV6 if ":" in address else IPV4


def icmp_socket(family, *wanted):
    """Of ICMPv6 only some types are wanted: neighbour discovery would come in, too."""
    sock = socket.socket(family.number, socket.SOCK_RAW, family.icmp)
    if family is IPV6:
        blocked = (1 << 256) - 1 - sum(1 << number for number in wanted)
        sock.setsockopt(socket.IPPROTO_ICMPV6, ICMPV6_FILTER, blocked.to_bytes(32, "little"))
    return sock


def icmp_message(family, data):
    """Of IPv4 the header comes with it."""
    return data if family is IPV6 else data[(data[0] & 15) * 4:]


def catch(proto, address, port):
    """Every datagram that arrives whole: by UDP at this port, or an ICMP message without its IP header."""
    family = family_of(address)
    if proto == "udp":
        sock = socket.socket(family.number, socket.SOCK_DGRAM)
    else:
        sock = icmp_socket(family, family.request, family.reply)
    sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
    sock.bind((address, int(port)))
    say(ready=sock.getsockname()[1])
    while True:
        data, peer = sock.recvfrom(65535)[:2]
        data = data if proto == "udp" else icmp_message(family, data)
        say(datagram=[len(data), hashlib.sha256(data).hexdigest()], peer=peer[0], port=peer[1])


def error_of(family, sock):
    """What the kernel took for an ICMP error about this socket's packets: whose it is, type, code, and MTU."""
    _, control, _, _ = sock.recvmsg(65535, 512, MSG_ERRQUEUE)
    for level, kind, data in control:
        if (level, kind) == (family.level, family.recverr):
            _, origin, number, code, info = struct.unpack_from("=IBBBxI", data)
            if origin == family.origin:
                offender = data[family.offender:family.offender + (16 if family is IPV6 else 4)]
                return {"from": socket.inet_ntop(family.number, offender), "type": number, "code": code, "mtu": info}
    return {}


def probe_socket(family, proto, address, port, ttl):
    if proto == "ping":
        sock = icmp_socket(family, family.reply)
    else:
        sock = socket.socket(family.number, socket.SOCK_DGRAM if proto == "udp" else socket.SOCK_STREAM)
    sock.setsockopt(family.level, family.recverr, 1)
    sock.setsockopt(family.level, family.hops, ttl)
    sock.setblocking(False)
    sock.connect_ex((address, 0 if proto == "ping" else port))  # of TCP that is the probe
    return sock


def echo_request(family):
    """Of ICMPv6 the kernel makes the checksum."""
    header = struct.pack("!BBHHH", family.request, 0, 0, os.getpid() & 0xffff, 1)
    total = sum(struct.unpack("!4H", header))
    return header[:2] + struct.pack("!H", ~(total + (total >> 16)) & 0xffff) + header[4:]


def hop(proto, address, port, ttl):
    """What comes back for one probe with this TTL; a destination that answers or refuses has been reached."""
    family = family_of(address)
    with probe_socket(family, proto, address, port, ttl) as sock:
        if proto != "tcp":
            sock.send(b"probe" if proto == "udp" else echo_request(family))
        poll = select.poll()
        poll.register(sock, select.POLLIN | (select.POLLOUT if proto == "tcp" else 0))
        for _, events in poll.poll(2000):
            try:
                return error_of(family, sock)
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
        if "reached" in found or found.get("type") == family_of(address).unreachable:
            break
    say(done=True)


def errors(address="0.0.0.0"):
    """Every ICMP error that comes in: from whom, type, code and MTU, and whether its checksum is right (that of ICMPv6
    the kernel has looked at)."""
    family = family_of(address)
    with icmp_socket(family, *family.errors) as sock:
        say(ready=True)
        while True:
            data, peer = sock.recvfrom(65535)[:2]
            message = icmp_message(family, data)
            if message[0] in family.errors:
                words = struct.unpack(f"!{len(message) // 2}H", message[:len(message) & ~1])
                total = sum(words) + (message[-1] << 8 if len(message) & 1 else 0)
                say(**{"from": peer[0], "type": message[0], "code": message[1], "mtu": words[3],
                       "right": family is IPV6 or total % 0xffff == 0})


def oversize(address, port, size):
    """One datagram with DF, whatever the kernel thinks that the path takes; and the error that it meets."""
    family = family_of(address)
    with socket.socket(family.number, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(family.level, family.recverr, 1)
        sock.setsockopt(family.level, family.mtu_discover, PMTUDISC_PROBE)
        sock.connect((address, int(port)))
        sock.send(bytes(int(size)))
        poll = select.poll()
        poll.register(sock, 0)
        say(**(error_of(family, sock) if poll.poll(2000) else {"from": None}))


if __name__ == "__main__":
    {"catch": catch, "traceroute": traceroute, "errors": errors,
     "oversize": oversize}[sys.argv[1]](*sys.argv[2:])
