# SPDX-License-Identifier: GPL-2.0-only
"""What the everyday commands print for people, word for word: on an empty host, a busy one and a broken one."""
import re

import pytest
from golden import golden
from topology import Host

LISTINGS = ([], ["list"], ["ports"], ["network", "list"], ["uplink", "list"])


@pytest.fixture(scope="module")
def busy():
    """With all that a listing has a column for; `said` is what the commands printed on the way."""
    with Host() as host:
        host.said = [host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24", "--subnet6", "2001:db8:80::/64",
                                "--isolate", "off", "--mtu", "1400")]
        for short, options in (("web", []), ("db", ["--ip", "10.80.0.10"]),
                               ("probe", ["--network", "lab", "--max-connections", "100"])):
            host.said.append(host.nsbpf("add", host.name(short), "--dns", "192.0.2.53", *options))
        for short, *words in (("web", "8080:80"), ("web", "8080:80"), ("web", "6000-6010:7000/udp"),
                              ("db", "5432", "--from", "198.51.100.64/26", "--from", "2001:db8:1:64::/64"),
                              ("db", "[2001:db8:1::1]:5433:5432")):
            host.said.append(host.nsbpf("expose", host.name(short), *words))
        host.said.append(host.nsbpf("unexpose", host.name("db"), "[2001:db8:1::1]:5433:5432"))
        yield host


def normal(host, text):
    """Without what differs from run to run, and from machine to machine; columns are as wide as names are long."""
    for endpoint in host.json("list"):  # short of a name that is too long for a device
        text = text.replace(endpoint["device"], "nsb-" + endpoint["name"])
    text = text.replace(host.prefix, "")
    for network in host.json("network", "list"):
        if network["subnet6"].startswith("fd"):
            text = text.replace(network["subnet6"].split("::")[0], "fd00:80")
    text = re.sub(r"(?<=^host )\w+|\btcx\b|\bclsact\b", "X", text, flags=re.M)
    text = re.sub(r" {2,}", "  ", text)
    # What an endpoint's own stack says by itself is counted, too.
    text = re.sub(r"(  (?:up|gone)  \d+  \S+)(?:  \d+){3}$", r"\1  N  N  N", text, flags=re.M)
    return re.sub(r"\ndropped packets\n(.+\n)*", "", text)


@pytest.mark.parametrize("command", LISTINGS, ids=lambda words: "-".join(words) or "status")
def test_busy(busy, command):
    golden("-".join(command) or "status", normal(busy, busy.nsbpf(*command).stdout))


@pytest.mark.parametrize("command", LISTINGS, ids=lambda words: "-".join(words) or "status")
def test_nothing_runs(empty, command):
    text = empty.nsbpf(*command).stdout
    assert text == ("" if command else "nothing runs here (`nsbpf add NAME` begins, `nsbpf help` lists the commands)\n")


def test_changes(busy):
    golden("changes", normal(busy, "".join(done.stdout + done.stderr for done in busy.said)))


def test_endpoint_that_is_gone(busy):
    """Somebody has removed its device: the listing says so, and `del` and `add` are what is left to do."""
    busy.ip("link", "del", next(endpoint["device"] for endpoint in busy.json("list")
                                if endpoint["name"] == busy.name("probe")))
    golden("list-gone", normal(busy, busy.nsbpf("list").stdout))


@pytest.mark.parametrize("words", [[], ["expose"], ["network"]], ids=lambda words: "-".join(words) or "all")
def test_help(empty, words):
    golden("-".join(["help", *words]), empty.nsbpf("help", *words).stdout)
