# SPDX-License-Identifier: GPL-2.0-only
"""Commands that listen to the datapath, and what they write."""
import struct

from processes import Agent
from topology import NSBPF, wait_for

BYTE_ORDER_MAGIC = 0x1a2b3c4d
SECTION, INTERFACE, PACKET = 0x0a0d0d0a, 1, 6
COMMENT, IF_NAME = 1, 2


class Listener(Agent):
    """`nsbpf -j monitor ...`: listens when the call returns; `lines` are its events."""

    def command(self):
        return [NSBPF, "-j"]

    def event(self, **wanted):
        """The first event that has all these keys and values, waited for."""
        return self.wait(lambda line: wanted.items() <= line.items())[0]

    def ended(self):
        """Its last line, after it has ended by itself."""
        assert self.process.wait(5) == 0
        return self.wait(lambda line: line["event"] == "end")[0]


def listen(host, *words):
    listener = host.agent(Listener, *words)
    assert listener.first == {"event": "begin"}
    return listener


class Text:
    """`nsbpf monitor ...` for people: collects what it prints until it ends."""

    def __init__(self, host, tmp_path, *words):
        self.out, self.err = tmp_path / "out", tmp_path / "err"
        with open(self.out, "w", encoding="utf-8") as out, open(self.err, "w", encoding="utf-8") as err:
            self.process = host.popen(NSBPF, *words, stdout=out, stderr=err)
        wait_for(lambda: "listening" in self.err.read_text(), what="it listens")

    def end(self, signal=None):
        """Its output, its errors and its exit code."""
        if signal:
            self.process.send_signal(signal)
        code = self.process.wait(5)
        return self.out.read_text(), self.err.read_text(), code


def options(data):
    """Of a pcapng block, by code."""
    found, at = {}, 0
    while at < len(data):
        code, length = struct.unpack_from("=HH", data, at)
        if not code:
            assert length == 0 and at + 4 == len(data)
            return found
        found[code] = data[at + 4:at + 4 + length]
        at += 4 + (length + 3) // 4 * 4
    raise AssertionError("options without an end")


def pcapng(data):
    """The packets of a file: (device, bytes on the wire, bytes captured, comment)."""
    devices, packets, at = [], [], 0
    while at < len(data):
        kind, length = struct.unpack_from("=II", data, at)
        assert length % 4 == 0 and struct.unpack_from("=I", data, at + length - 4)[0] == length
        body = data[at + 8:at + length - 4]
        if kind == SECTION:
            assert at == 0 and struct.unpack_from("=IHHq", body) == (BYTE_ORDER_MAGIC, 1, 0, -1)
            options(body[16:])
        elif kind == INTERFACE:
            devices.append(options(body[8:])[IF_NAME].decode())
        else:
            assert kind == PACKET
            device, _, _, captured, wire = struct.unpack_from("=5I", body)
            end = 20 + (captured + 3) // 4 * 4
            packets.append((devices[device], wire, body[20:20 + captured], options(body[end:])[COMMENT].decode()))
        at += length
    assert len(set(devices)) == len(devices)
    return packets
