# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf monitor`: on an empty host, on a busy one, and on one that somebody has broken by hand."""
import json
import os
import re
import signal
import subprocess

import maps
import pytest
from golden import golden
from listening import Text, listen, pcapng
from topology import (HOST_ADDRESS, HOST_ADDRESS6, NSBPF, OUTSIDE_ADDRESS, OUTSIDE_FAR, OUTSIDE_FAR6, Host, run,
                      wait_for)

USAGE, SYSTEM, MISSING, CONFLICT = 1, 2, 3, 4
LISTENERS = 8
ISOLATED = "10.99.0.2"
CLOSED = 9  # a port that nobody serves

# Datagrams without waiting for answers: address, port, how many, bytes of each.
SEND = """
import socket, sys
address, port, count, size = sys.argv[1:]
with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
    s.bind(("", 40000))
    for _ in range(int(count)):
        s.sendto(bytes(int(size)), (address, int(port)))
"""


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        host.nsbpf("network", "add", "lab", "--subnet", "10.99.0.0/24")
        host.a, host.b, host.c = host.add("a"), host.add("b"), host.add("c", "--network", "lab")
        host.nsbpf("expose", host.b.name, "8080:80/udp", "--from", "192.0.2.0/24")
        yield host


def send(netns, address, port=CLOSED, count=1, size=10):
    netns.run("/usr/bin/python3", "-c", SEND, address, port, count, size)


def listeners(host):
    """What anybody listens to, by the datapath's own settings."""
    return maps.entry(host, "settings")["listeners"]


def test_connections_and_drops(busy):
    with busy.outside.tcp_echo() as server, listen(busy, "monitor", "--endpoint", busy.a.name) as listener:
        assert listeners(busy)
        client = busy.a.tcp(OUTSIDE_FAR, server.port)["client"]
        new = listener.event(event="new")["connection"]
        assert (new["endpoint"], new["protocol"], new["state"]) == (busy.a.name, "tcp", "tcp-syn")
        assert new["original"]["source_port"] == client["local_port"]
        assert new["reply"]["destination"] == HOST_ADDRESS
        states = [line["connection"]["state"] for line in
                  listener.wait(lambda line: line["event"] == "update", count=3)]
        assert states == ["tcp-established", "tcp-fin", "tcp-closing"]
        send(busy.a, ISOLATED)
        drop = listener.event(event="drop", reason="isolated")
        assert drop["packet"] == {"protocol": "udp", "source": busy.a.address, "source_port": 40000,
                                  "destination": ISOLATED, "destination_port": CLOSED}
        assert (drop["program"], drop["device"], drop["endpoint"]) == ("from_endpoint", busy.a.device, busy.a.name)
        assert (drop["verdict"], drop["becomes"]) == ("dropped", None)
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", drop["time"])
    assert wait_for(lambda: not listeners(busy), what="nobody listens") is True


def test_drops_alone(busy):
    """On their way in, too: a source that the exposed port is not for, and what was forwarded to an endpoint."""
    with listen(busy, "monitor", "--drops") as listener:
        send(busy.outside, HOST_ADDRESS, 8080)
        drop = listener.event(reason="source")
        assert (drop["program"], drop["device"], drop["endpoint"]) == ("from_uplink", "up0", busy.b.name)
        busy.sysctl("net.ipv4.ip_forward", 1)
        busy.outside.ip("route", "add", busy.b.address, "via", HOST_ADDRESS)
        send(busy.outside, busy.b.address)
        drop = listener.event(reason="unsolicited")
        assert (drop["program"], drop["endpoint"]) == ("to_endpoint", busy.b.name)
        assert (drop["packet"]["source"], drop["packet"]["destination"]) == (OUTSIDE_ADDRESS, busy.b.address)
        assert {line["event"] for line in listener.lines} == {"begin", "drop"}


def test_text(busy, tmp_path):
    drops = Text(busy, tmp_path, "monitor", "--drops", "--count", "1")
    send(busy.a, ISOLATED)
    out, err, code = drops.end()
    assert code == 0
    packets = Text(busy, tmp_path, "monitor", "--packets", "--port", str(CLOSED), "--endpoint", busy.a.name, "--count", "1")
    send(busy.a, OUTSIDE_FAR)
    lines, more, code = packets.end()
    assert code == 0
    text = re.sub(r"^\d\d:\d\d:\d\d\.\d{6}", "TIME", out + err + lines + more, flags=re.MULTILINE)
    golden("monitor", re.sub(r"198\.51\.100\.1:\d+", "198.51.100.1:PORT", text), {busy.a.name: "A"})


@pytest.mark.parametrize("words", [["--proto", "udp"], ["--port", "7"], ["--proto", "17", "--port", "7"]])
def test_filters(busy, words):
    """What is not meant comes first; the one event that is meant is the only one."""
    with listen(busy, "monitor", "--packets", "--count", "1", "--endpoint", busy.a.name, *words) as listener:
        busy.a.ping(busy.b.address)
        send(busy.b, OUTSIDE_FAR, 7)
        if "--port" in words:
            send(busy.a, busy.b.address, CLOSED)
        send(busy.a, busy.b.address, 7)
        end = listener.ended()
        assert (end["events"], end["lost"]) == (1, 0)
        packet = listener.event(event="packet")
        assert packet["packet"]["destination_port"] == 7 and packet["endpoint"] == busy.a.name
        assert packet["verdict"] == "forwarded" and packet["becomes"] is None


@pytest.mark.parametrize("far, own", [(OUTSIDE_FAR, HOST_ADDRESS), (OUTSIDE_FAR6, HOST_ADDRESS6)], ids=["ip4", "ip6"])
def test_there_and_back(busy, far, own):
    """A datagram that is masqueraded, and the ICMP error about it, which comes back to the endpoint."""
    endpoint = busy.a.address6 if ":" in far else busy.a.address
    with listen(busy, "monitor", "--packets", "--endpoint", busy.a.name) as listener:
        assert "error" in busy.a.udp(far, CLOSED, connect=True)
        there = listener.wait(lambda line: line.get("program") == "from_endpoint" and line["packet"] and
                              line["packet"]["destination"] == far)[0]
        assert there["packet"]["source"] == endpoint and there["becomes"]["source"] == own
        assert there["becomes"]["destination_port"] == there["packet"]["destination_port"] == CLOSED
        back = listener.event(program="from_uplink", verdict="forwarded")
        icmp = {"protocol": "icmpv6" if ":" in far else "icmp", "source": far, "source_port": 0, "destination_port": 0}
        assert back["packet"] == {**icmp, "destination": own} and back["becomes"] == {**icmp, "destination": endpoint}
        assert back["endpoint"] == busy.a.name


def test_pcap(busy, tmp_path):
    file = tmp_path / "packets.pcapng"
    capture = Text(busy, tmp_path, "monitor", "--pcap", file, "--proto", "udp", "--port", "7", "--count", "3")
    send(busy.a, OUTSIDE_FAR, 7, size=1400)
    send(busy.a, ISOLATED, 7)
    busy.run("/usr/bin/python3", "-c", SEND, busy.b.address, 7, 1, 10)
    out, _, code = capture.end()
    assert (out, code) == ("", 0)
    (forwarded, dropped, passed) = pcapng(file.read_bytes())
    assert forwarded[:2] == (busy.a.device, 14 + 20 + 8 + 1400) and len(forwarded[2]) == forwarded[1]
    assert forwarded[2][26:30] == bytes(map(int, busy.a.address.split(".")))  # as it came, before it was translated
    assert re.fullmatch(f"from_endpoint of {busy.a.name}: forwarded as 198.51.100.1:\\d+ > 203.0.113.2:7", forwarded[3])
    assert dropped[3].startswith(f"from_endpoint of {busy.a.name}: dropped: isolated (")
    assert passed[0] == busy.b.device and passed[3] == f"to_endpoint of {busy.b.name}: passed"
    shown = run("tcpdump", "-nr", file).stdout.splitlines()
    assert len(shown) == 3 and f"{busy.a.address}.40000 > {OUTSIDE_FAR}.7: UDP, length 1400" in shown[0]


def test_pcap_of_drops_to_a_pipe(busy, tmp_path):
    listening = f"'{NSBPF}' monitor --drops --pcap - --count 1 2>'{tmp_path}/err' | tcpdump -nr - 2>/dev/null"
    (tmp_path / "err").touch()
    shell = busy.popen("sh", "-c", listening, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: "listening" in (tmp_path / "err").read_text())
    send(busy.a, busy.b.address)
    send(busy.a, ISOLATED)
    shown = shell.communicate(timeout=5)[0]
    assert shown.count("\n") == 1 and f"> {ISOLATED}.{CLOSED}: UDP" in shown


def test_the_reader_has_enough(busy, tmp_path):
    command = f"('{NSBPF}' monitor --pcap -; echo $? >'{tmp_path}/code') 2>'{tmp_path}/err' | tcpdump -c 1 -nr - 2>/dev/null"
    (tmp_path / "err").touch()
    busy.popen("sh", "-c", command, stdout=subprocess.DEVNULL)
    wait_for(lambda: "listening" in (tmp_path / "err").read_text())
    wait_for(lambda: send(busy.a, ISOLATED) or (tmp_path / "code").exists())
    wait_for(lambda: (tmp_path / "code").read_text() == "0\n")
    assert (tmp_path / "err").read_text() == "nsbpf: listening\n"


def test_lost_ones_are_counted(busy):
    with listen(busy, "monitor", "--packets", "--proto", "udp") as listener:
        listener.process.send_signal(signal.SIGSTOP)
        send(busy.a, busy.b.address, count=4000, size=1400)
        listener.process.send_signal(signal.SIGCONT)
        listener.process.send_signal(signal.SIGINT)
        assert listener.ended()["lost"] > 0


def test_ends(busy, tmp_path):
    """By time, by a signal, and by whoever reads it: each time nobody listens afterwards."""
    assert listen(busy, "monitor", "--time", "1", "--drops", "--port", "1").ended()["events"] == 0
    text = Text(busy, tmp_path, "monitor", "--drops", "--port", "1")
    out, err, code = text.end(signal.SIGTERM)
    assert (out, err, code) == ("", "nsbpf: listening\nnsbpf: 0 events, 0 lost\n", 0)
    shell = busy.popen("sh", "-c", f"('{NSBPF}' -j monitor; echo $? >'{tmp_path}/code') 2>'{tmp_path}/err' | head -n 1",
                       stdout=subprocess.PIPE, text=True)
    assert json.loads(shell.stdout.readline()) == {"event": "begin"}
    wait_for(lambda: send(busy.a, ISOLATED) or (tmp_path / "code").exists())
    wait_for(lambda: (tmp_path / "code").read_text() == "0\n")
    assert (tmp_path / "err").read_text() == ""
    assert not listeners(busy)


def test_killed_ones_are_forgotten(busy):
    with listen(busy, "monitor") as listener:
        listener.process.kill()
        listener.process.wait()
        assert listeners(busy)
    with listen(busy, "monitor", "--drops") as listener:
        assert listeners(busy) == 1 << 3  # EVENT_DROP alone
    assert wait_for(lambda: not listeners(busy)) is True


def test_a_change_forgets_them_too(busy):
    with listen(busy, "monitor") as listener:
        listener.process.kill()
        listener.process.wait()
    assert listeners(busy)
    busy.nsbpf("set", "timeout.udp", "default")
    assert not listeners(busy)


def test_several_at_once(busy):
    many = [listen(busy, "monitor", "--drops", "--count", "1") for _ in range(LISTENERS)]
    done = busy.nsbpf("monitor", "--time", "1", check=False)
    assert done.returncode == CONFLICT and "8 others listen" in done.stderr
    send(busy.a, ISOLATED)
    assert [listener.ended()["events"] for listener in many] == [1] * LISTENERS


BAD = [(["web"], USAGE, "takes no words"), (["--drop"], USAGE, "no option --drop here"),
       (["--drops", "--packets"], USAGE, "one of them"), (["--proto", "tpc"], USAGE, "tcp, udp"),
       (["--proto", "0"], USAGE, "--proto 0"), (["--port", "65536"], USAGE, "--port 65536"),
       (["--count", "0"], USAGE, "--count 0"), (["--time", "soon"], USAGE, "--time soon"),
       (["--pcap"], USAGE, "--pcap needs a value"), (["--endpoint", "nobody"], MISSING, "nobody"),
       (["--pcap", "/nowhere/file"], SYSTEM, "/nowhere/file: No such file or directory")]


@pytest.mark.parametrize("words, code, text", BAD, ids=[" ".join(words) for words, _, _ in BAD])
def test_bad_input(busy, words, code, text):
    done = busy.nsbpf("monitor", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1) and text in done.stderr
    error = json.loads(busy.nsbpf("-j", "monitor", *words, check=False).stderr)["error"]
    assert error["code"] == code and text in error["text"]


def test_empty_host(tmp_path):
    with Host() as host:
        done = host.nsbpf("monitor", check=False)
        assert (done.returncode, done.stdout) == (MISSING, "")
        assert done.stderr == "nsbpf: nothing runs here (`nsbpf add NAME` begins)\n"
        host.add("a")
        text = Text(host, tmp_path, "monitor", "--drops")
        host.nsbpf("down")
        out, err, code = text.end()
        assert (out, code) == ("", MISSING) and err.endswith("nsbpf: nothing runs here any more\n")


def test_broken_host():
    with Host() as host:
        host.add("a")
        os.unlink(maps.path(host, "listener_rings"))
        done = host.nsbpf("monitor", check=False)
        assert (done.returncode, done.stdout) == (SYSTEM, "")
        assert "listener_rings: No such file or directory" in done.stderr
