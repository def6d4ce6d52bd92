# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf stats`: as text and as JSON, once and again and again; on a busy host, an empty one and one that is broken."""
import json
import os
import re
import signal
import subprocess
import time

import pytest
from golden import golden
from terminal import Terminal
from topology import NETNS_DIR, OUTSIDE_FAR, Host, run, wait_for

USAGE, SYSTEM = 1, 2
COUNTS = ("rx_packets", "rx_bytes", "tx_packets", "tx_bytes", "drops", "connections", "nat_ports")
RATES = ("rx_packets_per_s", "rx_bits_per_s", "tx_packets_per_s", "tx_bits_per_s", "drops_per_s")
ISOLATED_PINGS = 3


@pytest.fixture(scope="module")
def busy():
    """Two endpoints, of which one has a connection and is kept from an isolated third."""
    with Host() as host:
        host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24")
        host.a, host.b, host.c = host.add("a"), host.add("b"), host.add("c", "--network", "lab")
        host.outside.udp_echo(7001)
        host.session = host.a.udp_session(OUTSIDE_FAR, 7001)
        assert host.session.ask()["data"] == "hello"
        host.a.ping(host.c.address, count=ISOLATED_PINGS, timeout=0.1)
        yield host


def without_numbers(host, text):
    """Numbers, and the room that they take, differ from run to run."""
    for short in "abc":
        text = text.replace(host.name(short), short)
    return re.sub(r" +", " ", re.sub(r"(?<![\w.])[\d.]+[kMGT]?\b", "N", text))


def test_text(busy):
    text = busy.nsbpf("stats").stdout
    golden("stats", without_numbers(busy, text))
    shown = busy.json("stats")
    rows = {line.split()[0]: [int(word) for word in line.split()[1:]] for line in text.splitlines()
            if re.match(r"\S+( +\d+){7}$", line)}
    assert rows[busy.a.name][4:] == [shown["endpoints"][0][key] for key in COUNTS[4:]]
    assert rows["(all)"][4:] == [shown["all"][key] for key in COUNTS[4:]]
    assert len({len(line) for line in text.splitlines() if "  " in line and ":" not in line}) == 1, "flush right"


def test_json(busy):
    shown = busy.json("stats")
    assert shown["running"] is True and shown["interval"] is None and shown["drops_per_s"] is None
    assert [endpoint["name"] for endpoint in shown["endpoints"]] == [busy.a.name, busy.b.name, busy.c.name]
    for endpoint in (*shown["endpoints"], shown["all"]):
        assert set(endpoint) == {"name", *COUNTS, *RATES}
        assert all(endpoint[key] is None for key in RATES)
    assert shown["drops"]["isolated"] == ISOLATED_PINGS
    a, b, _ = shown["endpoints"]
    assert a["drops"] == ISOLATED_PINGS and b["drops"] == 0
    assert (a["connections"], a["nat_ports"]) == (1, 1) and a["tx_packets"] > ISOLATED_PINGS
    assert shown["all"]["name"] == "(all)"
    assert shown["all"]["drops"] == sum(shown["drops"].values())
    assert {key: shown["all"][key] for key in ("connections", "nat_ports")} == {"connections": 1, "nat_ports": 1}
    assert shown["connections"] == busy.json()["connections"]
    listed = busy.endpoints()[busy.a.name]
    assert all(listed[key] >= a[key] for key in COUNTS)


def watch_json(host, count, interval="0.2"):
    return [json.loads(line) for line in
            host.nsbpf("stats", "-j", "--watch", interval, "--count", count).stdout.splitlines()]


def test_rates(busy):
    """What the counters grew by, in the time that it took."""
    before = busy.json("stats")["endpoints"][0]
    watching = busy.popen(*busy.nsbpf_command("stats", "-j", "--watch", "0.5", "--count", "2")[2:],
                          stdout=subprocess.PIPE, text=True)
    while watching.poll() is None:
        busy.session.ask()
    lines = [json.loads(line) for line in watching.stdout]
    watching.stdout.close()
    after = busy.json("stats")["endpoints"][0]
    assert len(lines) == 2
    for line in lines:
        assert 0.4 < line["interval"] < 3
        rates, = [endpoint for endpoint in line["endpoints"] if endpoint["name"] == busy.a.name]
        assert rates["tx_packets_per_s"] > 0 and rates["rx_packets_per_s"] > 0
        assert line["all"]["tx_packets_per_s"] >= rates["tx_packets_per_s"]
        assert rates["tx_bits_per_s"] > 8 * 42 * rates["tx_packets_per_s"], "bits, with headers"
        assert set(line["drops_per_s"]) == set(line["drops"])
    first, second = (line["endpoints"][0] for line in lines)
    grown = second["tx_packets"] - first["tx_packets"]
    assert second["tx_packets_per_s"] * lines[1]["interval"] == pytest.approx(grown, rel=0.3)
    assert before["tx_packets"] <= first["tx_packets"] <= second["tx_packets"] <= after["tx_packets"]


def test_drop_rates(busy):
    watching = busy.popen(*busy.nsbpf_command("stats", "-j", "--watch", "0.5", "--count", "3")[2:],
                          stdout=subprocess.PIPE, text=True)
    first = json.loads(watching.stdout.readline())
    busy.b.ping(busy.c.address, count=1, timeout=0.1)
    rest = [json.loads(line) for line in watching.stdout]
    watching.stdout.close()
    assert watching.wait(5) == 0
    assert first["drops_per_s"]["isolated"] == 0
    for rates in ([line["drops_per_s"]["isolated"] for line in rest],
                  [line["endpoints"][1]["drops_per_s"] for line in rest], [line["all"]["drops_per_s"] for line in rest]):
        assert sorted(rate > 0 for rate in rates) == [False, True], "in one of the two intervals"


def test_watch_as_text(busy):
    """Where there is no terminal, one below the other and without an escape."""
    text = busy.nsbpf("stats", "--watch", "0.1", "--count", "2").stdout
    assert "\x1b" not in text
    assert [line.split()[1:] for line in text.splitlines() if line.startswith("0.")] == \
        2 * [["s:", "1", "of", "65536", "connections,", "1", "NAT", "ports"]]
    assert text.count("RX PACKETS/S") == 2
    golden("stats-watch", without_numbers(busy, "\n".join(text.splitlines()[:6]) + "\n"))


def on_terminal(host, *arguments, env=None):
    """What a command writes to a terminal until it ends."""
    with Terminal(host, *arguments, env=env) as terminal:
        assert terminal.end() == 0
        return terminal.raw


def test_watch_on_a_terminal(busy):
    """In place, with a bold header; NO_COLOR takes away the bold."""
    text = on_terminal(busy, "stats", "--watch", "0.1", "--count", "2")
    assert text.count("\x1b[H\x1b[J") == 2 and text.count("\x1b[1mENDPOINT") == 2
    assert "\x1b[1mENDPOINT" in on_terminal(busy, "stats")
    assert "\x1b[1mNAME" in on_terminal(busy, "list"), "other tables, too"
    assert "\x1b[1m" not in on_terminal(busy, "stats", env={"NO_COLOR": "1"})


def test_progress(make_host):
    """`down` says how far it is once it has taken a second: it is held for so long here. Elsewhere it says nothing."""
    host = make_host()
    for number in range(12):
        host.nsbpf("add", host.name(f"n{number}"))
    with Terminal(host, "down") as terminal:
        wait_for(lambda: not os.path.exists(f"{NETNS_DIR}/{host.name('n0')}"), what="it is at work")
        terminal.process.send_signal(signal.SIGSTOP)
        time.sleep(1)
        terminal.process.send_signal(signal.SIGCONT)
        assert terminal.end() == 0
        assert re.fullmatch(r"(\rremoving endpoints: \d+ of 12)+\r\x1b\[K", terminal.raw)


def test_endpoint_of_before_and_of_now(make_host):
    """Rates are the endpoint's own: one that has the slot of another began at zero; down and up is not negative."""
    host = make_host()
    host.add("a")
    watching = host.popen(*host.nsbpf_command("stats", "-j", "--watch", "0.2")[2:], stdout=subprocess.PIPE, text=True)
    lines = iter(watching.stdout.readline, "")

    def next_with(wanted):
        for line in lines:
            shown = json.loads(line)
            if wanted(shown):
                return shown
        raise AssertionError("it ended")
    assert next_with(lambda shown: shown["running"])["endpoints"][0]["rx_packets_per_s"] >= 0
    host.nsbpf("down")
    empty = next_with(lambda shown: not shown["running"])
    assert empty["endpoints"] == [] and empty["all"]["rx_packets_per_s"] == 0
    host.add("b")
    again = next_with(lambda shown: shown["endpoints"])
    assert all(again["endpoints"][0][key] >= 0 for key in RATES)
    watching.terminate()
    assert watching.wait(5) == -15
    watching.stdout.close()


def test_nothing_runs(make_host):
    host = make_host()
    assert host.nsbpf("stats").stdout.startswith("nothing runs here")
    shown = host.json("stats")
    assert shown["running"] is False and shown["endpoints"] == [] and set(shown["drops"].values()) == {0}
    assert shown["connections"]["count"] == 0
    assert len(watch_json(host, 2, "0.1")) == 2
    assert host.pin_directories() == []


def test_broken(make_host):
    """An endpoint whose namespace is gone is counted on; without a map there is nothing to show."""
    host = make_host()
    host.add("a")
    run("ip", "netns", "del", host.name("a"))
    assert [endpoint["name"] for endpoint in host.json("stats")["endpoints"]] == [host.name("a")]
    os.unlink(f"{host.pin_directories()[0]}/maps/drops")
    for options in ([], ["--watch", "0.1"]):
        done = host.nsbpf("stats", *options, check=False)
        assert done.returncode == SYSTEM and not done.stdout
        assert done.stderr.count("\n") == 1 and "maps/drops" in done.stderr
    failed = host.nsbpf("-j", "stats", check=False)
    assert json.loads(failed.stderr)["error"]["code"] == SYSTEM and not failed.stdout


@pytest.mark.parametrize("words", [
    ["more"], ["--watch", "0"], ["--watch", "0.05"], ["--watch", "3601"], ["--watch", "1s"], ["--watch", "1."],
    ["--watch", ".5"], ["--watch", "-1"], ["--watch", ""], ["--watch", "1e3"], ["--watch", "1", "2"],
    ["--watch", "nan"], ["--watch", "0x1"], ["--watch=1"], ["--count", "2"], ["--watch", "--count", "0"],
    ["--watch", "--count", "x"], ["--watch", "--count"], ["--frob"]], ids=" ".join)
def test_bad_words(busy, words):
    done = busy.nsbpf("stats", *words, check=False)
    assert done.returncode == USAGE and not done.stdout and done.stderr.count("\n") == 1
