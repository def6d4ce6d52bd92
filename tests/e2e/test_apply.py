# SPDX-License-Identifier: GPL-2.0-only
"""`nsbpf apply` and `diff` on files that make sense: what they change, and that they change nothing else."""
import json
import os
import re
import signal
import subprocess

import config
import pytest
import topology
from config import BUSY, DRIFT
from golden import golden
from topology import HOST_ADDRESS, OUTSIDE_ADDRESS, TOP, Host, wait_for

TWO = """
endpoints:
  WEB: {ip: 10.80.0.2, ports: ["8080:80"]}
  DB: {ip: 10.80.0.10}
"""


@pytest.fixture(scope="module")
def shared():
    with Host() as host:
        yield host


@pytest.fixture
def two(shared):
    """A web server and a database, and a flow of each that must go on."""
    config.apply(shared, TWO, "--prune")
    yield shared
    shared.nsbpf("apply", "-", "--prune", input="{}")


@pytest.fixture
def flow(two):
    server = two.outside.udp_echo()
    session = two.endpoint("db").udp_session(OUTSIDE_ADDRESS, server.port)
    assert session.ask("hello")
    return lambda: session.ask("still there")


def test_from_nothing(host):
    plan = config.apply(host, BUSY, "--dry-run")
    golden("apply", plan.stdout, config.unnamed(host))
    assert config.apply(host, BUSY, verb="diff", check=False).returncode == DRIFT
    assert host.pin_directories() == [], "looking makes nothing"
    done = config.apply(host, BUSY)
    golden("apply", done.stdout, config.unnamed(host))
    assert done.stderr == ""
    before = config.state(host)
    assert [config.apply(host, BUSY, *options).stdout for options in ([], ["--prune"], ["--dry-run"])] == ["unchanged\n"] * 3
    assert config.changes(host, BUSY, verb="diff") == []
    assert config.state(host) == before

    web, db = host.endpoint("web"), host.endpoint("db")
    assert (web.address, db.info["addresses"], db.info["mac"]) == (
        "10.80.0.2", ["10.80.0.10", "fd00:80::a"], "02:00:5e:10:00:01")
    assert (db.info["mtu"], db.info["max_connections"], host.endpoint("mail").address) == (1400, 100, "10.81.0.25")
    networks = {network["name"]: network for network in host.json("network", "list")}
    assert (networks["dmz"]["masquerade"], networks["dmz"]["masquerade6"]) == ("on", "off")
    assert (networks["lab"]["gateway"], networks["lab"]["isolate"]) == ("192.0.2.254", False)
    with open(db.resolv_conf, encoding="utf-8") as file:
        assert file.read().splitlines()[1:] == ["nameserver 192.0.2.53", "nameserver 2001:db8::53"]
    assert not os.path.exists(host.endpoint("probe").resolv_conf)
    web.tcp_echo(80)
    assert host.outside.tcp(HOST_ADDRESS, 8080)["peer"] == OUTSIDE_ADDRESS
    assert host.json("check")["ok"]


def test_example_and_unit(shared):
    """What is installed with nsbpf makes sense to it."""
    done = shared.nsbpf("diff", f"{TOP}/docs/example.yaml", check=False)
    assert (done.returncode, done.stderr) == (DRIFT, "") and "+ port db 5432\n" in done.stdout
    with open(f"{TOP}/docs/nsbpf.service", encoding="utf-8") as unit:
        commands = re.findall(r"^Exec\w+=nsbpf (.*)$", unit.read(), re.MULTILINE)
    assert [command.split()[0] for command in commands] == ["apply", "apply", "down"]
    for command in commands:
        verb, *words = command.split()
        shown = shared.nsbpf("help", verb).stdout
        assert [word for word in words if word.startswith("-") and word not in shown] == []


def test_json(two):
    text = TWO.replace("10.80.0.10", "10.80.0.10, mtu: 1300")
    found = json.loads(config.apply(two, text, "--dry-run", "-j").stdout)
    assert found == {"changed": True, "warning": None, "changes": [
        {"action": "set", "object": "endpoint", "name": two.name("db"), "ports": None, "state": "planned",
         "differs": [{"key": "mtu", "is": "1500", "should": "1300"}]}]}
    found["changes"][0]["state"] = "done"
    assert json.loads(config.apply(two, text, "-j").stdout) == found
    assert json.loads(config.apply(two, text, "-j").stdout) == {"changed": False, "changes": [], "warning": None}


def test_in_place(two, flow):
    """Whatever is no matter of identity changes under the traffic."""
    web = two.endpoint("web")
    inode = os.stat(web.path).st_ino
    wanted = """
settings: {timeout.icmp: 90}
networks: {default: {isolate: off, mtu: 1400, filtering: endpoint-independent}}
endpoints:
  WEB: {mtu: 1400, max-connections: 50, dns: "192.0.2.99"}
"""
    golden("apply-in-place", config.apply(two, wanted, "--dry-run").stdout, config.unnamed(two))
    golden("apply-in-place", config.apply(two, wanted).stdout, config.unnamed(two))
    assert (web.info["mtu"], web.info["max_connections"]) == (1400, 50)
    assert (web.link("eth0")["mtu"], two.link(web.device)["mtu"]) == (1400, 1400)
    with open(web.resolv_conf, encoding="utf-8") as file:
        assert "nameserver 192.0.2.99\n" in file
    assert os.stat(web.path).st_ino == inode and two.json("get", "timeout.icmp")["value"] == 90
    assert config.apply(two, wanted).stdout == "unchanged\n"
    assert config.changes(two, "endpoints: {WEB: {dns: none, max-connections: auto}}") == [
        ("set", "endpoint", "web", ["max-connections", "dns"])]
    assert not os.path.exists(web.resolv_conf) and web.info["max_connections"] is None
    assert two.json("check")["ok"]
    assert flow()


def test_an_endpoint_made_anew(two, flow):
    """It keeps what the file leaves open, and its exposed ports; its neighbours don't notice."""
    two.nsbpf("expose", two.name("web"), "9000")
    before = config.state(two)
    wanted = "endpoints: {WEB: {ip: 10.80.0.77, mac: '02:00:5e:10:00:07'}}"
    golden("apply-anew", config.apply(two, wanted, "--dry-run").stdout, config.unnamed(two))
    assert config.state(two) == before
    golden("apply-anew", config.apply(two, wanted).stdout, config.unnamed(two))
    after = config.state(two)
    assert after["ports"] == before["ports"]
    web = two.endpoint("web")
    assert (web.address, web.info["mac"]) == ("10.80.0.77", "02:00:5e:10:00:07")
    web.tcp_echo(80)
    assert two.outside.tcp(HOST_ADDRESS, 8080)["peer"] == OUTSIDE_ADDRESS
    assert flow() and two.json("check")["ok"]
    # Without a word on its address it keeps it.
    assert config.changes(two, "endpoints: {WEB: {mtu: 1000}}")[0] == ("renew", "endpoint", "web", ["mtu"])
    assert web.info["addresses"] == ["10.80.0.77"], "with so small an MTU there is no IPv6"


def test_addresses_change_hands(two):
    swapped = TWO.replace("10.80.0.10", "X").replace("10.80.0.2", "10.80.0.10").replace("X", "10.80.0.2")
    assert [change[:3] for change in config.changes(two, swapped)] == [
        ("renew", "endpoint", "web"), ("renew", "endpoint", "db"), ("add", "port", "web 8080:80")]
    assert (two.endpoint("web").address, two.endpoint("db").address) == ("10.80.0.10", "10.80.0.2")


def test_a_network_made_anew(two):
    other = "networks: {default: {subnet: 10.90.0.0/16}}"
    done = config.apply(two, other + "\nendpoints: {WEB: }", check=False)
    assert done.returncode == 4 and two.name("db") in done.stderr and done.stdout == ""
    changes = config.changes(two, other + "\nendpoints: {WEB: , DB: }")
    assert changes == [("renew", "network", "default", ["subnet"]), ("renew", "endpoint", "web", []),
                       ("renew", "endpoint", "db", []), ("add", "port", "web 8080:80", [])]
    assert {entry["addresses"][0] for entry in two.json("list")} == {"10.90.0.2", "10.90.0.3"}
    assert config.changes(two, other + "\nendpoints: {WEB: }", "--prune") == [
        ("remove", "port", "web 8080:80", []), ("remove", "endpoint", "db", [])]


def test_prune(two, flow):
    two.nsbpf("network", "add", "lab")
    two.nsbpf("uplink", "add", "up0")
    two.nsbpf("set", "timeout.udp", "10m")
    two.nsbpf("expose", two.name("db"), "5432/both")
    two.add("extra", "--network", "lab")
    before = config.state(two)
    assert config.changes(two, TWO) == [], "without --prune what the file does not name is none of its business"
    golden("apply-prune", config.apply(two, TWO, "--prune", "--dry-run").stdout,
           {**config.unnamed(two), two.name("extra"): "EXTRA"})
    assert config.apply(two, TWO, "--prune", verb="diff", check=False).returncode == DRIFT
    assert config.state(two) == before
    golden("apply-prune", config.apply(two, TWO, "--prune").stdout,
           {**config.unnamed(two), two.name("extra"): "EXTRA"})
    assert config.apply(two, TWO, "--prune", verb="diff").stdout == "unchanged\n"
    assert len(two.json("list")) == 2 and two.json("uplink", "list")[0]["named"] is False
    assert flow()


def test_adopted_namespaces_stay(two):
    machine = two.machine("m")
    text = TWO + f"  {machine.netns}: \n"
    config.apply(two, text)
    assert two.endpoints()[machine.netns]["adopted"]
    config.apply(two, TWO, "--prune")
    assert os.path.exists(machine.path)


def test_exposed_ports(two):
    two.endpoint("web").tcp_echo(80)
    session = two.outside.tcp_session(HOST_ADDRESS, 8080)
    assert session.ask("hello")
    text = TWO.replace('"8080:80"', '{ports: "8080:80", from: [198.51.100.2, 2001:db8::/32]}')
    assert config.changes(two, text) == [("renew", "port", "web 8080:80", ["from"])]
    assert two.json("ports")[0]["sources"] == ["198.51.100.2/32", "2001:db8::/32"]
    assert config.changes(two, text.replace("198.51.100.2, 2001:db8::/32", "2001:db8::/32, 198.51.100.2")) == [], \
        "their order says nothing"
    moved = "endpoints: {WEB: , DB: {ports: ['8080:80']}}"
    done = config.apply(two, moved, check=False)
    assert done.returncode == 4 and f"exposed to {two.name('web')}" in done.stderr and done.stdout == ""
    assert config.changes(two, moved, "--prune") == [("remove", "port", "web 8080:80", []),
                                                      ("add", "port", "db 8080:80", [])]


def test_room(host):
    """The table is as large from the start, and is never made smaller."""
    assert config.changes(host, "settings: {timeout.udp: 10m, connections: 8192}") == [
        ("set", "setting", "connections", ["value"]), ("set", "setting", "timeout.udp", ["value"])]
    assert host.json()["connections"]["max"] == 8192
    assert config.changes(host, "{}", "--prune") == [("set", "setting", "timeout.udp", ["value"])]


    done = config.apply(host, "settings: {timeout.icmp: 90, connections: 8192}\n", "--dry-run", "-j")
    assert [change["name"] for change in json.loads(done.stdout)["changes"]] == ["timeout.icmp"]
    config.apply(host, "settings: {connections: 16384}")
    assert host.json()["connections"]["max"] == 16384
    done = config.apply(host, "settings: {timeout.icmp: 90, connections: 8192}", "--dry-run", check=False)
    assert done.returncode == 4 and done.stderr.startswith("nsbpf: stdin:1:30: settings: connections is 16384")


def test_what_had_better_be_known(host):
    host.ip("route", "delete", "default")
    host.ip("-6", "route", "delete", "default")
    text = "endpoints: {WEB: {mtu: 1000}, DB: }"
    warnings = ("1 of 2 new endpoints have no IPv6: its MTU is less than 1280; no uplink, so no way outside: there is no "
                "default route (`nsbpf uplink add DEV` names one)")
    assert json.loads(config.apply(host, text, "-j").stdout)["warning"] == warnings
    host.nsbpf("down")
    assert config.apply(host, text).stdout.splitlines()[-1] == warnings
    assert config.apply(host, text).stdout == "unchanged\n"


def test_what_fails_is_told(two):
    """One thing after the other, and what has been done stays."""
    two.tcp_echo(7000)
    text = TWO + '  PROBE: {ip: 10.80.0.9, ports: ["7000", 7001]}\n  MAIL: {ip: 10.80.0.8}\n'
    done = config.apply(two, text, check=False)
    assert done.returncode == 4
    golden("apply-failed", done.stdout, config.unnamed(two))
    assert len(done.stderr.splitlines()) == 1
    assert "held by pid" in done.stderr and "(2 of 4 changes are done)" in done.stderr
    assert {two.name("probe"), two.name("mail")} <= set(two.endpoints())
    done = config.apply(two, text, "-j", check=False)
    assert [change["state"] for change in json.loads(done.stdout)["changes"]] == ["planned", "planned"]
    assert json.loads(done.stderr)["error"]["code"] == 4
    assert config.changes(two, text.replace("7000", "7002")) == [
        ("add", "port", "probe 7002", []), ("add", "port", "probe 7001", [])]


def test_a_host_that_cannot_begin(host):
    """Nothing has been done, so nothing is left."""
    host.tcp_echo(7000)
    done = config.apply(host, "networks: {default: {subnet: 198.51.100.0/24}}", check=False)
    assert done.returncode == 4 and "(0 of 1 changes are done)" in done.stderr
    assert host.pin_directories() == []


def test_broken_endpoints(two):
    """What somebody removed, or a killed command left half made, is made again."""
    two.ip("netns", "delete", two.name("web"))
    assert config.changes(two, TWO) == [("renew", "endpoint", "web", ["state"]), ("add", "port", "web 8080:80", [])]
    assert (two.endpoint("web").info["state"], two.endpoint("web").address) == ("up", "10.80.0.2")
    two.ip("link", "delete", two.endpoint("db").device)
    assert config.changes(two, TWO) == [("renew", "endpoint", "db", ["state"])]
    assert config.changes(two, TWO) == []


@pytest.mark.parametrize("steps", [1, 20])
def test_killed(two, steps):
    """The next one goes on from where it was."""
    names = [f"  {two.name(f'k{i}')}: {{ports: [{9000 + i}]}}" for i in range(40)]
    text = TWO + "\n".join(names)
    process = two.popen(topology.NSBPF, "apply", "-", stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    process.stdin.write(config.named(two, text))
    process.stdin.close()
    wait_for(lambda: process.poll() is not None or len(two.json("list")) >= 2 + steps)
    process.send_signal(signal.SIGKILL)
    process.wait()
    config.apply(two, text)
    assert config.changes(two, text, "--prune") == []
    assert all(entry["state"] == "up" for entry in two.json("list")) and len(two.json("ports")) == 41
