# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf conntrack events`: connections as they come, change and go; bad input; an empty host and a broken one."""
import json
import os
import re

import maps
import pytest
from golden import golden
from listening import Text, listen
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, OUTSIDE_FAR, Host, wait_for

USAGE, SYSTEM, MISSING = 1, 2, 3
KINDS = ("new", "update", "destroy")


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        host.a, host.b = host.add("a"), host.add("b")
        host.nsbpf("expose", host.b.name, "8080:80/udp")
        host.tcp_server, host.udp_server = host.outside.tcp_echo(), host.outside.udp_echo()
        host.b_server = host.b.udp_echo(80)
        yield host


def told(listener, port):
    """What was told of the connection from this port of the endpoint: (event, state), in order."""
    return [(line["event"], line["connection"]["state"]) for line in listener.lines
            if line["event"] in KINDS and line["connection"]["original"]["source_port"] == port]


def test_life_of_connections(busy):
    with listen(busy, "conntrack", "events") as listener:
        tcp = busy.a.tcp(OUTSIDE_FAR, busy.tcp_server.port)["client"]["local_port"]
        udp = busy.a.udp(OUTSIDE_FAR, busy.udp_server.port)["client"]["local_port"]
        busy.nsbpf("conntrack", "flush")
        wait_for(lambda: ("destroy", "udp") in told(listener, udp) and ("destroy", "tcp-closing") in told(listener, tcp))
        assert told(listener, udp) == [("new", "udp"), ("destroy", "udp")]
        assert told(listener, tcp) == [("new", "tcp-syn"), ("update", "tcp-established"), ("update", "tcp-fin"),
                                       ("update", "tcp-closing"), ("destroy", "tcp-closing")]
        end = listener.wait(lambda line: line["event"] == "destroy" and line["connection"]["protocol"] == "udp")[0]
        assert end["connection"]["replied"] and end["connection"]["left"] == 0
        assert end["connection"]["original"]["packets"] == end["connection"]["reply"]["packets"] == 1
        assert end["connection"]["endpoint"] == busy.a.name


def test_times_out(busy):
    """The timer tells it as well."""
    with listen(busy, "conntrack", "events", "-p", "icmp") as listener:
        busy.nsbpf("set", "timeout.icmp", "1")
        busy.a.ping(OUTSIDE_FAR)
        assert listener.event(event="destroy")["connection"]["state"] == "icmp"
        assert [line["event"] for line in listener.lines] == ["begin", "new", "destroy"]
    busy.nsbpf("set", "timeout.icmp", "default")


@pytest.mark.parametrize("words", [["--nat", "dnat"], ["--src", OUTSIDE_ADDRESS + "/32"], ["--dport", "8080"]])
def test_filters(busy, words):
    with listen(busy, "conntrack", "events", "--count", "2", *words) as listener:
        busy.a.udp(OUTSIDE_FAR, busy.udp_server.port)
        busy.outside.udp(HOST_ADDRESS, 8080)
        busy.nsbpf("conntrack", "flush")
        assert listener.ended()["events"] == 2
        seen = [line for line in listener.lines if line["event"] in KINDS]
        assert [line["event"] for line in seen] == ["new", "destroy"]
        assert all(line["connection"]["nat"] == ["dnat"] and line["connection"]["endpoint"] == busy.b.name
                   for line in seen)


def test_text(busy, tmp_path):
    text = Text(busy, tmp_path, "conntrack", "events", "--endpoint", busy.a.name, "--proto", "udp", "--count", "2")
    client = busy.a.udp(OUTSIDE_FAR, busy.udp_server.port)["client"]
    busy.nsbpf("conntrack", "flush")
    out, err, code = text.end()
    assert code == 0
    shown = re.sub(r"^\d\d:\d\d:\d\d\.\d{6}", "TIME", out + err, flags=re.MULTILINE)
    shown = re.sub(r"(dst=198\.51\.100\.1 sport=\d+ dport=)\d+", r"\1NAT", shown)
    shown = re.sub(r"packets=1 bytes=\d+", "packets=1 bytes=N", shown)
    golden("conntrack-events", shown, {busy.a.name: "A", client["local_port"]: "PORT", busy.udp_server.port: "SERVER"})


def test_the_table_grows_meanwhile():
    """The programs are replaced then; whoever listens goes on."""
    with Host() as host:
        host.nsbpf("set", "connections", "8192")
        a = host.add("a")
        with host.outside.udp_echo() as server, listen(host, "conntrack", "events") as listener:
            before = a.udp(OUTSIDE_FAR, server.port)["client"]["local_port"]
            host.nsbpf("set", "connections", "16384")
            after = a.udp(OUTSIDE_FAR, server.port)["client"]["local_port"]
            wait_for(lambda: told(listener, before) and told(listener, after))
            assert told(listener, after) == [("new", "udp")]
            assert listener.process.poll() is None


BAD = [(["web"], USAGE, "takes nothing but options"), (["--count", "x"], USAGE, "--count x"),
       (["--time", "-1"], USAGE, "--time -1"), (["-p", "tpc"], USAGE, "--proto tpc"),
       (["--drops"], USAGE, "no option --drops here"), (["--endpoint", "nobody"], MISSING, "nobody")]


@pytest.mark.parametrize("words, code, text", BAD, ids=[" ".join(words) for words, _, _ in BAD])
def test_bad_input(busy, words, code, text):
    done = busy.nsbpf("conntrack", "events", *words, check=False)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1) and text in done.stderr
    error = json.loads(busy.nsbpf("-j", "conntrack", "events", *words, check=False).stderr)["error"]
    assert error["code"] == code and text in error["text"]


def test_empty_and_broken_host():
    with Host() as host:
        done = host.nsbpf("conntrack", "events", check=False)
        assert (done.returncode, done.stdout) == (MISSING, "")
        assert done.stderr == "nsbpf: nothing runs here (`nsbpf add NAME` begins)\n"
        host.add("a")
        os.unlink(maps.path(host, "listeners"))
        done = host.nsbpf("conntrack", "events", check=False)
        assert (done.returncode, done.stdout) == (SYSTEM, "") and "listeners: No such file" in done.stderr
