# SPDX-License-Identifier: GPL-2.0-only
"""What `-j` prints is what docs/json.md says: every key, no other one, each of its type; errors are JSON as well."""
import json
import os
import re
import subprocess

import pytest
import topology
from json_schema import read_sections
from topology import HOST_ADDRESS, OUTSIDE_FAR, Host

SECTIONS = read_sections()
# Verbs without JSON of their own.
SILENT = {"version", "help", "exec", "shell"}

# By section: the words of commands that print it. TUPLE is a connection of the busy host, FILE its configuration.
QUESTIONS = {
    "-j list": ["list"],
    "-j ports": ["ports"],
    "-j network list": ["network list"],
    "-j uplink list": ["uplink list"],
    "-j get": ["get", "get timeout.udp", "get connections", "get inbound-refresh"],
    "-j": [""],
    "-j conntrack list": ["conntrack list", "conntrack list -p tcp --state established", "conntrack get TUPLE"],
    "-j conntrack count": ["conntrack count", "conntrack count --nat snat"],
    "-j conntrack delete": ["conntrack delete -s 192.0.2.77", "conntrack flush"],
    "-j conntrack stats": ["conntrack stats"],
    "-j stats": ["stats", "stats --watch 0.1 --count 2"],
    "-j top": ["top --once --interval 0.1"],
    "-j metrics": ["metrics"],
    "-j check": ["check"],
    "-j doctor": ["doctor"],
    "-j save": ["save"],
    "-j why": [f"why tcp ENDPOINT:40000 {OUTSIDE_FAR}:80", f"why icmp ENDPOINT {OUTSIDE_FAR}",
               "why udp ENDPOINT:40000 192.0.2.2:9", f"why tcp {OUTSIDE_FAR}:40000 EXPOSED"],
    "-j diff": ["diff FILE", "diff FILE --prune", "apply FILE --dry-run --prune"],
}
# What goes on until it is ended, and what it is to tell of.
STREAMS = {"-j monitor": {"new", "drop"}, "-j conntrack events": {"new"}}
CHANGES = ["add {}", "add {}", "expose {} 8080:80", "expose {} 8080:80", "expose {} 6000-6003/udp --from 192.0.2.0/24",
           "network add lab --subnet 192.0.2.0/24", "network set lab --mtu 1400", "set timeout.udp 10m",
           "set timeout.tcp-syn 1", "uplink add up0", "uplink del up0", "unexpose {} 8080", "unexpose {} 8080",
           "metrics --textfile FILE", "save FILE", "network del lab", "del {}", "down", "down"]
# What is wrong, missing or held. {first} and {other} are endpoints of the busy host.
ERRORS = ["nonsense", "list x", "list --x", "ports x", "add", "add !", "add x --ip 1.2.3", "add x --mtu 1",
          "add x --network nobody", "del nobody --x", "exec nobody true", "shell nobody", "expose {first} 99999",
          "expose nobody 80", "expose {other} 8080", "unexpose nobody", "network add", "network nonsense",
          "network del default", "network add lab2 --subnet 10.80.0.0/16", "uplink add nodevice", "uplink x", "set",
          "set x y", "set timeout.udp x", "get x", "conntrack", "conntrack get",
          "conntrack get -p tcp -s 192.0.2.1 -d 192.0.2.2 --sport 1 --dport 2", "conntrack delete",
          "conntrack list --nat x", "stats x", "stats --watch x", "top --sort x", "metrics x",
          "metrics --textfile /nodir/x", "check x", "doctor x", "save /nodir/x", "apply /nodir/x", "apply", "diff",
          "diff /nodir/x", "down x", "monitor x", "monitor --proto x", "monitor --drops --packets",
          "monitor --endpoint nobody", "conntrack events --count x", "why", "why tcp x y",
          "why tcp 10.80.0.2 203.0.113.2", "why tcp 10.80.0.2 203.0.113.2:80 --from nobody", "help nonsense",
          "version x"]


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    with Host() as host:
        host.named = {"FILE": configuration(tmp_path_factory)}
        yield host


@pytest.fixture(scope="module")
def busy(tmp_path_factory):
    with Host() as host:
        populate(host)
        host.named["FILE"] = configuration(tmp_path_factory)
        yield host


def configuration(tmp_path_factory):
    """A file that says something else than what runs: `diff` and `apply` have a lot to tell."""
    path = tmp_path_factory.mktemp("configuration") / "nsbpf.yaml"
    path.write_text('settings: {timeout.udp: 7m}\nnetworks: {other: {subnet: 192.0.2.128/25}}\n'
                    'endpoints: {there: {network: other, ports: ["7000:70"]}}\n', encoding="utf-8")
    return str(path)


def populate(host):
    """Endpoints, networks, ports and settings of all kinds, connections of each protocol, and drops."""
    host.first, host.other = host.add("web"), host.add("db", "--max-connections", "100")
    host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/25", "--mtu", "1400")
    host.add("probe", "--network", "lab", "--dns", "none")
    host.nsbpf("expose", host.first.name, "8080:80")
    host.nsbpf("expose", host.first.name, "6000-6010/udp", "--from", "198.51.100.0/24")
    host.nsbpf("uplink", "add", "up0")
    host.nsbpf("set", "timeout.udp", "600")
    server = host.outside.tcp_echo(port=8000, address=OUTSIDE_FAR)
    session = host.first.tcp_session(OUTSIDE_FAR, server.port)
    session.ask("hello")
    host.named = {"ENDPOINT": host.first.address, "EXPOSED": f"{HOST_ADDRESS}:8080",
                  "TUPLE": f"-p tcp -s {host.first.address} --sport {session.first['local_port']} "
                           f"-d {OUTSIDE_FAR} --dport 8000"}
    host.outside.udp_echo(port=8000, address=OUTSIDE_FAR)
    host.first.udp(OUTSIDE_FAR, 8000)
    host.first.ping(OUTSIDE_FAR)
    host.first.ping("192.0.2.2", timeout=0.1)  # isolated


def words(host, question):
    """The command's words; None if it asks for what an empty host has not."""
    for name in ("TUPLE", "ENDPOINT", "EXPOSED", "FILE"):
        if name in question and name not in host.named:
            return None
        question = question.replace(name, host.named.get(name, ""))
    return question.split()


def ask(host, question):
    """The values that it prints: one a line."""
    done = host.nsbpf("-j", *question, check=False)
    assert done.returncode in (0, 5), done.stderr  # drift is an answer, too
    assert done.stderr == ""
    values = [json.loads(line) for line in done.stdout.splitlines()]
    assert values, question
    return values


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.title)
def test_examples(section):
    """The page's own examples are as its tables say."""
    assert section.problems_of_examples() == []


@pytest.mark.parametrize("section", [section for section in SECTIONS if section.commands],
                         ids=lambda section: section.title)
@pytest.mark.parametrize("state", ["empty", "busy"])
def test_schema(request, state, section):
    host = request.getfixturevalue(state)
    problems = []
    for command in section.commands:
        for question in QUESTIONS.get(command, []):
            asked = words(host, question)
            for value in ask(host, asked) if asked is not None else []:
                assert value or state == "empty", question
                problems += [f"{question}: {line}" for line in section.problems(value)]
    assert problems == []


@pytest.mark.parametrize("command", STREAMS)
def test_streams(busy, command):
    section = [section for section in SECTIONS if command in section.commands][0]
    connections = [section for section in SECTIONS if "-j conntrack list" in section.commands][0]
    with busy.popen(topology.NSBPF, *command.split(), "--count", "2", "--time", "9", stdout=subprocess.PIPE) as stream:
        assert json.loads(stream.stdout.readline()) == {"event": "begin"}
        busy.first.udp(OUTSIDE_FAR, 9, timeout=0.1)
        busy.first.ping("192.0.2.2", timeout=0.1)  # isolated
        if command == "-j conntrack events":
            busy.nsbpf("conntrack", "delete", "--dport", "9")
        values = [json.loads(line) for line in stream.stdout]
    assert STREAMS[command] <= {value["event"] for value in values}
    for value in values:
        assert section.problems(value) == []
        if "connection" in value:
            assert connections.problems(value["connection"]) == []
    assert values[-1]["event"] == "end"


def test_each_section_is_asked():
    asked = {command for section in SECTIONS for command in section.commands if command in {*QUESTIONS, *STREAMS}}
    assert asked == {*QUESTIONS, *STREAMS}
    assert [section.title for section in SECTIONS if section.commands and not asked & set(section.commands)] == []


def test_each_verb_has_a_section(empty):
    """Or says what changes say, or has no JSON."""
    verbs = set(re.findall(r"^  ([a-z]+) ", empty.nsbpf("help").stdout, re.MULTILINE))
    named = {command.split()[1] for section in SECTIONS for command in section.commands if command != "-j"}
    changes = {change.split()[0] for change in CHANGES}
    assert verbs - named - changes - SILENT == set()


def test_what_runs_is_its_listings(busy):
    """`nsbpf -j` has them as they are."""
    whole = ask(busy, [])[0]
    questions = {"uplinks": "uplink list", "networks": "network list", "endpoints": "list", "ports": "ports"}
    for key, question in questions.items():
        listing = ask(busy, question.split())[0]
        assert [set(row) for row in whole[key]] == [set(row) for row in listing] and listing
    with open(os.path.join(os.path.dirname(__file__), "../../docs/packet-flow.md"), encoding="utf-8") as page:
        text = page.read()
    assert [reason for reason in whole["drops"] if f"`{reason}`" not in text] == []


def test_changes(host, tmp_path):
    section = [section for section in SECTIONS if section.title == "Changes"][0]
    for change in CHANGES:
        asked = change.format(host.name("web")).replace("FILE", str(tmp_path / "file")).split()
        value, = ask(host, asked)
        assert section.problems(value) == [], change


def test_apply(host, tmp_path_factory):
    section = [section for section in SECTIONS if "-j apply" in section.commands][0]
    path = configuration(tmp_path_factory)
    with open(path, "r+", encoding="utf-8") as file:
        text = file.read().replace("there:", host.name("there") + ":")
        file.seek(0)
        file.write(text)
    for changed in (True, False):
        value, = ask(host, ["apply", path])
        assert section.problems(value) == [] and value["changed"] == changed
    host.add("web")
    value, = ask(host, ["apply", path, "--prune"])
    assert section.problems(value) == [] and value["changed"]


def error_of(host, question):
    """The exit code and the text; the same with and without JSON."""
    json_done, plain = host.nsbpf("-j", *question, check=False), host.nsbpf(*question, check=False)
    assert json_done.stdout == "", question
    error = json.loads(json_done.stderr)
    assert list(error) == ["error"] and set(error["error"]) == {"code", "text"}, question
    code, text = error["error"]["code"], error["error"]["text"]
    assert json_done.returncode == plain.returncode == code, question
    assert plain.stderr == f"nsbpf: {text}\n", question
    assert "\n" not in text and text.isascii() and text.isprintable(), question
    return code


def test_errors(busy):
    names = {"first": busy.first.name, "other": busy.other.name}
    codes = {question: error_of(busy, question.format(**names).split()) for question in ERRORS}
    assert set(codes.values()) == {1, 2, 3, 4}, codes
    # Nothing of it has changed anything.
    assert len(busy.json("list")) == 3


def test_damaged(host):
    """Maps are gone: each question is answered as the page says, or with an error in JSON."""
    host.add("web")
    maps = f"{host.pin_directories()[0]}/maps"
    for name in ("connections", "endpoints"):
        os.unlink(f"{maps}/{name}")
    answered = 0
    for section in SECTIONS:
        for command in section.commands:
            question = QUESTIONS.get(command, ["down x"])[0].replace("FILE", "/dev/null").split()
            done = host.nsbpf("-j", *question, check=False)
            if done.returncode in (0, 5):
                assert [line for text in done.stdout.splitlines() for line in section.problems(json.loads(text))] == []
                answered += 1
            else:
                assert json.loads(done.stderr)["error"]["code"] == done.returncode, question
    assert answered
