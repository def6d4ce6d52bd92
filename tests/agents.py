# SPDX-License-Identifier: GPL-2.0-only
"""Small programs that topology.py runs inside a namespace: echo servers, clients, a web server, a sniffer, a sender.

Each speaks JSON, one object a line. A server or sniffer begins with {"ready": ...}: what comes after that is seen.
"""
import errno
import json
import select
import socket
import struct
import sys
import threading

SOL_PACKET = 263
PACKET_AUXDATA = 8
IP_PKTINFO, IPV6_RECVPKTINFO = 8, 49
TP_STATUS_CSUMNOTREADY = 1 << 3
ETH_P_ALL = 3


def say(**words):
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


def family(address):
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def tell(socket_local, peer, data):
    """What an echo server answers: whom it saw, at which address of its own, and what was said."""
    return {"peer": peer[0], "port": peer[1], "local": socket_local[0], "local_port": socket_local[1],
            "data": data.decode(errors="replace")}


def serve_tcp_peer(connection, peer):
    try:
        with connection, connection.makefile("rb") as lines:
            for line in lines:
                seen = tell(connection.getsockname(), peer, line.rstrip(b"\n"))
                say(**seen)
                connection.sendall(json.dumps(seen).encode() + b"\n")
    except OSError as error:
        say(peer=peer[0], port=peer[1], error=errno.errorcode.get(error.errno, str(error)))
        return
    say(peer=peer[0], port=peer[1], closed=True)


def tcp_echo(address, port):
    listener = socket.socket(family(address), socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((address, int(port)))
    listener.listen(1024)
    say(ready=listener.getsockname()[1])
    while True:
        connection, peer = listener.accept()
        threading.Thread(target=serve_tcp_peer, args=(connection, peer), daemon=True).start()


def udp_echo(address, port):
    """Answers from the address that was asked, which a socket bound to 0.0.0.0 or :: does not do of itself."""
    sock = socket.socket(family(address), socket.SOCK_DGRAM)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVPKTINFO, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
    sock.bind((address, int(port)))
    say(ready=sock.getsockname()[1])
    while True:
        try:
            data, control, _, peer = sock.recvmsg(65535, 64)
        except OSError:  # an ICMP error about an earlier answer
            continue
        # struct in_pktinfo is ifindex, source, destination; struct in6_pktinfo address, ifindex.
        (level, kind, value), = control
        asked = value[8:12] if level == socket.IPPROTO_IP else value[:16]
        seen = tell((socket.inet_ntop(sock.family, asked), sock.getsockname()[1]), peer, data)
        say(**seen)
        source = bytes(4) + asked + bytes(4) if level == socket.IPPROTO_IP else asked + bytes(4)
        sock.sendmsg([json.dumps(seen).encode()], [(level, kind, source)], 0, peer)


def web(address, port):
    import http.server  # takes four times as long as all else here, so the others do without

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = json.dumps({"peer": self.client_address[0], "path": self.path}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http.server.ThreadingHTTPServer.address_family = family(address)
    server = http.server.ThreadingHTTPServer((address, int(port)), Handler)
    say(ready=server.server_address[1])
    server.serve_forever()


def session(proto, options):
    """A client driven by stdin: each line is sent, each answer comes back as a line; {"error": NAME} when it fails.

    The first line out says where the client is bound, or why it could not connect.
    """
    options = json.loads(options)
    kind = socket.SOCK_STREAM if proto == "tcp" else socket.SOCK_DGRAM
    there = socket.getaddrinfo(options["address"], options["port"], type=kind, flags=socket.AI_NUMERICHOST)[0][4]
    sock = socket.socket(family(there[0]), kind)
    if proto == "tcp":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for UDP it would give two sockets one port
    sock.settimeout(options["timeout"])
    try:
        sock.bind((options["source"] or ("::" if ":" in there[0] else "0.0.0.0"), options["source_port"] or 0))
        if options["connect"]:
            sock.connect(there)
            say(local=sock.getsockname()[0], local_port=sock.getsockname()[1], remote=sock.getpeername()[0],
                remote_port=sock.getpeername()[1])
        else:
            say(local=sock.getsockname()[0], local_port=sock.getsockname()[1])
        answers = sock.makefile("rb") if proto == "tcp" else None
        for line in sys.stdin:
            line = line.rstrip("\n").encode()
            if proto == "tcp":
                sock.sendall(line + b"\n")
                answer = answers.readline()
                if not answer:
                    raise ConnectionAbortedError(errno.ECONNABORTED, "closed by the other side")
                say(**json.loads(answer))
            else:
                sock.send(line) if options["connect"] else sock.sendto(line, there)
                answer, where = sock.recvfrom(65535)
                say(**json.loads(answer), **{"from": where[0], "from_port": where[1]})
    except TimeoutError:
        say(error="timeout")
    except OSError as error:
        say(error=errno.errorcode.get(error.errno, str(error)))


def capture(device):
    """All frames of one device, both directions, with the kernel's packet type (0 HOST ... 3 OTHERHOST, 4 OUTGOING)."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    sock.setsockopt(SOL_PACKET, PACKET_AUXDATA, 1)
    sock.bind((device, ETH_P_ALL))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
    while select.select([sock], [], [], 0)[0]:  # frames of other devices, from before the bind
        sock.recv(1)
    say(ready=device)
    while True:
        try:
            frame, control, _, where = sock.recvmsg(262144, 64)
        except OSError:  # ENETDOWN, once, when the device goes down or away
            continue
        status = 0
        for level, kind, data in control:
            if level == SOL_PACKET and kind == PACKET_AUXDATA:
                status = struct.unpack_from("=I", data)[0]
        say(frame=frame.hex(), pkttype=where[2], partial=bool(status & TP_STATUS_CSUMNOTREADY))


def send(device):
    """Raw frames, as hex lines on stdin."""
    sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    sock.bind((device, 0))
    for line in sys.stdin:
        sock.send(bytes.fromhex(line))


def cookie():
    so_netns_cookie = 71
    raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM).getsockopt(socket.SOL_SOCKET, so_netns_cookie, 8)
    say(cookie=struct.unpack("=Q", raw)[0])


if __name__ == "__main__":
    {"tcp-echo": tcp_echo, "udp-echo": udp_echo, "web": web, "session": session, "capture": capture, "send": send,
     "cookie": cookie}[sys.argv[1]](*sys.argv[2:])
