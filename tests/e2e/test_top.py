# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf top`: what it prints for scripts, what it shows on a terminal, and its keys."""
import contextlib
import json
import os
import re
import signal
import threading
import time

import pytest
from golden import golden
from terminal import Terminal
from topology import HOST_ADDRESS, OUTSIDE_FAR, OUTSIDE_FAR6, Host, run

USAGE, SYSTEM, MISSING = 1, 2, 3
FLOW = ("endpoint", "protocol", "source", "source_port", "destination", "destination_port")
FLOW_RATES = ("original_packets_per_s", "original_bits_per_s", "reply_packets_per_s", "reply_bits_per_s")
HUGE = "x" * 4000


@pytest.fixture(scope="module")
def busy():
    """Endpoint a talks by TCP, much, b by UDP over IPv6, little but often; c is silent, and exposes a port to a."""
    with Host() as host:
        host.a, host.b, host.c = host.add("a"), host.add("b"), host.add("c")
        host.nsbpf("expose", host.c.name, "8080:80")
        host.outside.tcp_echo(7000)
        host.outside.udp_echo(7001, address="::")
        host.c.tcp_echo(80)
        host.tcp = host.a.tcp_session(OUTSIDE_FAR, 7000)
        host.udp = host.b.udp_session(OUTSIDE_FAR6, 7001)
        host.hairpin = host.a.tcp_session(HOST_ADDRESS, 8080)
        yield host


@contextlib.contextmanager
def traffic(host, *talks):
    """Each (session, text) over and over again, until the end."""
    stop = threading.Event()

    def talk(session, text):
        while not stop.is_set():
            session.ask(text)
    threads = [threading.Thread(target=talk, args=arguments) for arguments in talks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def once(host, *options):
    return host.json("top", "--once", "--interval", "0.3", *options)


def tuple_of(session, endpoint, protocol):
    first = session.first
    return {"endpoint": endpoint.name, "protocol": protocol, "source": first["local"],
            "source_port": first["local_port"], "destination": first["remote"], "destination_port": first["remote_port"]}


def key_of(flow):
    return {key: flow[key] for key in FLOW}


@pytest.fixture(scope="module")
def shown(busy):
    """One look at both, with all that it can say."""
    with traffic(busy, (busy.tcp, HUGE), (busy.hairpin, "x")):
        return once(busy), once(busy, "--sort", "packets"), busy.nsbpf("top", "--once", "--interval", "0.3").stdout


def test_json(busy, shown):
    seen = shown[0]
    assert set(seen) == {"running", "interval", "connections", "endpoints", "flows"}
    assert seen["running"] is True and 0.2 < seen["interval"] < 3
    assert seen["endpoints"][0]["name"] == busy.a.name, "the one that carries most"
    assert seen["endpoints"][0]["rx_bits_per_s"] > 8 * len(HUGE), "each answer has the question in it"
    assert {endpoint["name"] for endpoint in seen["endpoints"]} == {busy.a.name, busy.b.name, busy.c.name}
    assert all(set(flow) == {*FLOW, *FLOW_RATES} for flow in seen["flows"])
    assert key_of(seen["flows"][0]) == tuple_of(busy.tcp, busy.a, "tcp")
    assert key_of(seen["flows"][1]) == tuple_of(busy.hairpin, busy.a, "tcp"), "the silent one is not there"
    assert len(seen["flows"]) == 2
    first = seen["flows"][0]
    assert all(first[key] > 0 for key in FLOW_RATES)
    bits = [flow["original_bits_per_s"] + flow["reply_bits_per_s"] for flow in seen["flows"]]
    assert bits == sorted(bits, reverse=True)
    # with Ethernet headers there, without them here
    assert first["reply_bits_per_s"] == pytest.approx(seen["endpoints"][0]["rx_bits_per_s"], rel=0.7)


def test_by_packets(shown):
    packets = [flow["original_packets_per_s"] + flow["reply_packets_per_s"] for flow in shown[1]["flows"]]
    assert len(packets) == 2 and packets == sorted(packets, reverse=True)
    both = [endpoint["rx_packets_per_s"] + endpoint["tx_packets_per_s"] for endpoint in shown[1]["endpoints"]]
    assert both == sorted(both, reverse=True)


def test_text(busy, shown):
    text = shown[2]
    for short in "abc":
        text = text.replace(busy.name(short), short)
    # Which of the small ones is first is chance.
    lines = text.splitlines(True)
    lines[3:6] = sorted(lines[3:6])
    text = re.sub(r"\b\d+(\.\d+)?[kMG]?\b(?!\.\d)", "N", re.sub(r"\d+\.\d+\.\d+\.\d+", "ADDRESS", "".join(lines)))
    golden("top", re.sub(" +", " ", text))


def test_ipv6_and_icmp(busy):
    with traffic(busy, (busy.udp, "x")):
        busy.b.popen("ping", "-n", "-i", "0.05", "-c", "600", OUTSIDE_FAR6, stdout=-3)
        flows = once(busy, "--endpoint", busy.b.name)["flows"]
    found = {flow["protocol"]: flow for flow in flows}
    assert set(found) == {"udp", "icmpv6"}
    assert found["udp"]["source"] == busy.b.address6 and found["udp"]["destination"] == OUTSIDE_FAR6
    assert found["icmpv6"]["destination_port"] is None and found["icmpv6"]["original_packets_per_s"] > 1


def test_endpoint_and_flows(busy):
    """A flow between two is both's; --flows says how many at most."""
    with traffic(busy, (busy.tcp, "x"), (busy.hairpin, "x")):
        of_c = once(busy, "--endpoint", busy.c.name)
        one = once(busy, "--flows", "1")
        none = once(busy, "--flows", "0")
    assert [endpoint["name"] for endpoint in of_c["endpoints"]] == [busy.c.name]
    assert [key_of(flow) for flow in of_c["flows"]] == [tuple_of(busy.hairpin, busy.a, "tcp")]
    assert len(one["flows"]) == 1 and none["flows"] == []
    assert [endpoint["name"] for endpoint in once(busy, "--sort", "name")["endpoints"]] == \
        [busy.a.name, busy.b.name, busy.c.name]
    assert once(busy, "--sort", "connections")["endpoints"][0]["name"] == busy.a.name, "it has two"
    missing = busy.nsbpf("top", "--once", "--endpoint", "nobody", check=False)
    assert missing.returncode == MISSING and missing.stderr == "nsbpf: no endpoint nobody\n"


def test_count(busy):
    lines = busy.nsbpf("top", "-j", "--count", "2", "--interval", "0.1").stdout.splitlines()
    assert [json.loads(line)["running"] for line in lines] == [True, True]
    assert busy.nsbpf("top", "--count", "2", "--interval", "0.1").stdout.count("RX PACKETS/S") == 2


def test_screen(busy):
    with traffic(busy, (busy.tcp, "x")), Terminal(busy, "top", "--interval", "0.2") as terminal:
        text = terminal.screen(busy.a.name, busy.b.name, busy.c.name, "REPLY BITS/S", OUTSIDE_FAR)
        assert ", by bits" in text and "paused" not in text
        # what is shown, and in which order
        for key, order in (("p", "packets"), ("d", "drops"), ("c", "connections"), ("n", "name"), ("b", "bits")):
            terminal.press(key)
            terminal.screen(f", by {order}")
        terminal.press("\t")
        terminal.screen("RX PACKETS/S", without=["REPLY BITS/S"])
        terminal.press("\t")
        terminal.screen("REPLY BITS/S", without=["RX PACKETS/S"])
        terminal.press("\t")
        terminal.screen("REPLY BITS/S", "RX PACKETS/S")
        # only some endpoints
        terminal.press("/" + busy.b.name[-3:] + "\n")
        terminal.screen(busy.b.name, without=[busy.a.name, busy.c.name, OUTSIDE_FAR])
        terminal.press("/\x1b")
        terminal.screen(busy.a.name, busy.c.name, OUTSIDE_FAR, without=[", endpoint"])
        # paused: nothing moves
        terminal.press(" ")
        terminal.screen("paused")
        time.sleep(0.3)  # until all of that has been drawn
        first = terminal.screen("paused")
        time.sleep(0.5)
        # How the cursor gets from one word to the next is the library's choice.
        assert terminal.screen("paused").split() == first.split()
        terminal.press(" ")
        terminal.screen(without=["paused"])
        terminal.press("q")
        assert terminal.end() == 0


def test_sizes(busy):
    """However small; and back again."""
    with Terminal(busy, "top", "--interval", "0.1") as terminal:
        terminal.screen(busy.a.name, "q quit")
        for size in ((6, 40), (3, 20), (1, 1), (2, 300), (40, 100)):
            terminal.forget()
            terminal.resize(*size)
        terminal.screen(busy.a.name, busy.c.name)
        # room for the header and one endpoint: the others are scrolled to
        terminal.press("n\t")
        terminal.resize(3, 160)
        terminal.screen(without=["RX"])
        terminal.resize(5, 160)
        terminal.screen(busy.a.name, without=[busy.b.name])
        terminal.press("\x1b[B\x1b[B\x1b[B")
        terminal.screen(busy.c.name, without=[busy.b.name])
        terminal.press("\x1b[5~")
        terminal.screen(busy.a.name, without=[busy.b.name])
        terminal.process.send_signal(signal.SIGINT)
        assert terminal.end() == 0


@pytest.mark.parametrize("term", ["dumb", "nosuch"])
def test_no_terminal_for_this(busy, term):
    with Terminal(busy, "top", env={"TERM": term}) as terminal:
        assert terminal.end() == SYSTEM
        assert terminal.raw == "nsbpf: top needs a terminal whose cursor can be moved (--once, --count N and -j do " \
            "not)\r\n"


def test_no_terminal(busy):
    done = busy.nsbpf("top", check=False)
    assert done.returncode == SYSTEM and not done.stdout and done.stderr.count("\n") == 1


def test_nothing_runs(make_host):
    """Until somebody begins: then that is shown."""
    host = make_host()
    assert host.nsbpf("top", "--once", "--interval", "0.1").stdout.startswith("nothing runs here")
    seen = host.json("top", "--once", "--interval", "0.1")
    assert seen["running"] is False and seen["endpoints"] == seen["flows"] == []
    with Terminal(host, "top", "--interval", "0.1") as terminal:
        terminal.screen("nothing runs here")
        a = host.add("a")
        terminal.screen(a.name, "0 of 65536 connections")
        host.nsbpf("down")
        terminal.screen("nothing runs here", without=[a.name])
        terminal.process.terminate()
        assert terminal.end() == 0
    assert host.pin_directories() == []


def test_broken(make_host):
    """A namespace that is gone is still shown; without the table there is one line, below the screen that was."""
    host = make_host()
    host.add("a")
    run("ip", "netns", "del", host.name("a"))
    assert [endpoint["name"] for endpoint in once(host)["endpoints"]] == [host.name("a")]
    with Terminal(host, "top", "--interval", "0.1") as terminal:
        terminal.screen(host.name("a"))
        os.unlink(f"{host.pin_directories()[0]}/maps/traffic")
        assert terminal.end() == SYSTEM
        assert "maps/traffic" in terminal.text.rsplit("nsbpf: ", 1)[1]
    done = host.nsbpf("top", "--once", check=False)
    assert done.returncode == SYSTEM and not done.stdout
    assert done.stderr.count("\n") == 1 and "maps/traffic" in done.stderr


@pytest.mark.parametrize("words", [
    ["more"], ["--once", "--count", "2"], ["--count", "0"], ["--count", "x"], ["--interval", "0"],
    ["--interval", "x"], ["--sort", "rate"], ["--sort", ""], ["--flows", "-1"], ["--flows", "10001"], ["--frob"],
    ["--endpoint"]], ids=" ".join)
def test_bad_words(busy, words):
    done = busy.nsbpf("top", *words, check=False)
    assert done.returncode == USAGE and not done.stdout and done.stderr.count("\n") == 1
