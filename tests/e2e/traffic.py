# SPDX-License-Identifier: GPL-2.0-only
"""More programs to run inside a namespace, like those of agents.py: mirrors, swarms of connections, bulk transfers."""
import hashlib
import json
import os
import selectors
import socket
import sys
import threading
import time

TIMEOUT = 20
IP_PKTINFO, IPV6_RECVPKTINFO = 8, 49
SO_SNDBUFFORCE, SO_RCVBUFFORCE = 32, 33


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def bound(kind, address, port):
    sock = socket.socket(family(address), kind)
    if kind == socket.SOCK_STREAM:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for UDP it would give two sockets one port
    else:
        # Hundreds of clients at once, or a datagram of 64 KiB in fragments: none is to be lost here.
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 16 << 20)
        sock.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 16 << 20)
    sock.bind((address, port))
    return sock


def any_for(address):
    """What a client binds to."""
    return "::" if ":" in address else "0.0.0.0"


def mirror(proto, address, port):
    """Sends back every byte."""
    if proto == "udp":
        sock = bound(socket.SOCK_DGRAM, address, int(port))
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        say(ready=sock.getsockname()[1])
        while True:
            try:
                data, control, _, peer = sock.recvmsg(65535, 64)
                # From the address that was asked: struct in_pktinfo is ifindex, source, destination; struct in6_pktinfo
                # address, ifindex.
                (level, kind, value), = control
                source = bytes(4) + value[8:12] + bytes(4) if level == socket.IPPROTO_IP else value[:16] + bytes(4)
                sock.sendmsg([data], [(level, kind, source)], 0, peer)
            except OSError:  # an ICMP error about an earlier answer
                continue
    listener = bound(socket.SOCK_STREAM, address, int(port))
    listener.listen(4096)
    say(ready=listener.getsockname()[1])
    selector = selectors.DefaultSelector()
    selector.register(listener, selectors.EVENT_READ)
    while True:
        for key, _ in selector.select():
            if key.fileobj is listener:
                selector.register(listener.accept()[0], selectors.EVENT_READ)
                continue
            try:
                data = key.fileobj.recv(65536)
                key.fileobj.sendall(data)
            except OSError:
                data = b""
            if not data:
                selector.unregister(key.fileobj)
                key.fileobj.close()


def token(name, index, turn):
    return f"{name} {index:05} {turn:05}".encode()


def exchange(socks, name, turn):
    """One token by every connection, and its answer. Whatever is not exactly that is reported."""
    wrong, waiting = [], selectors.DefaultSelector()
    for index, sock in enumerate(socks):
        sock.send(token(name, index, turn))
        waiting.register(sock, selectors.EVENT_READ, index)
    end = time.monotonic() + 5
    while waiting.get_map() and time.monotonic() < end:
        for key, _ in waiting.select(0.1):
            waiting.unregister(key.fileobj)
            try:
                answer = key.fileobj.recv(65536)
            except OSError as error:
                answer = str(error).encode()
            if answer != token(name, key.data, turn):
                wrong.append({"index": key.data, "turn": turn, "answer": answer.decode(errors="replace")})
    wrong += [{"index": key.data, "turn": turn, "answer": None} for key in waiting.get_map().values()]
    return wrong


def swarm(options):
    """Many connections to one place. Connects, says so; then one turn for every line on stdin, reported each."""
    options = json.loads(options)
    kind = socket.SOCK_STREAM if options["proto"] == "tcp" else socket.SOCK_DGRAM
    first = options.get("first_port") or 0
    socks = []
    for index in range(options["count"]):
        sock = bound(kind, any_for(options["address"]), first + index if first else 0)
        sock.settimeout(TIMEOUT)
        sock.connect((options["address"], options["port"]))
        socks.append(sock)
    wrong = exchange(socks, options["name"], 0)
    say(ready=len(socks), wrong=wrong)
    for turn, _ in enumerate(sys.stdin, 1):
        say(turn=turn, wrong=exchange(socks, options["name"], turn))


def both_ways(sock, size):
    """`size` random bytes out while as many come in; what each side saw is for the caller to compare."""
    sent, received = hashlib.sha256(), hashlib.sha256()
    chunk = os.urandom(1 << 20)

    def send():
        left = size
        while left:
            piece = chunk[:min(left, len(chunk))]
            sock.sendall(piece)
            sent.update(piece)
            left -= len(piece)
    sender = threading.Thread(target=send)
    sender.start()
    left = size
    while left:
        data = sock.recv(min(left, 1 << 20))
        if not data:
            break
        received.update(data)
        left -= len(data)
    sender.join()
    say(sent=sent.hexdigest(), received=received.hexdigest(), missing=left)


def bulk_serve(address, port, size):
    listener = bound(socket.SOCK_STREAM, address, int(port))
    listener.listen()
    say(ready=listener.getsockname()[1])
    while True:
        connection, _ = listener.accept()
        connection.settimeout(TIMEOUT)
        with connection:
            both_ways(connection, int(size))


def bulk(address, port, size):
    with socket.create_connection((address, int(port)), TIMEOUT) as sock:
        say(ready=sock.getsockname()[1])
        both_ways(sock, int(size))


def datagrams(address, port, *sizes):
    """One random datagram of each size, to be mirrored."""
    with bound(socket.SOCK_DGRAM, any_for(address), 0) as sock:
        sock.settimeout(5)
        sock.connect((address, int(port)))
        say(ready=sock.getsockname()[1])
        for size in map(int, sizes):
            data = os.urandom(size)
            sock.send(data)
            try:
                say(size=size, same=sock.recv(65535) == data)
            except OSError as error:
                say(size=size, same=False, error=str(error))


if __name__ == "__main__":
    {"mirror": mirror, "swarm": swarm, "bulk-serve": bulk_serve, "bulk": bulk,
     "datagrams": datagrams}[sys.argv[1]](*sys.argv[2:])
