# SPDX-License-Identifier: GPL-2.0-only
"""Completion: `nsbpf complete`, which all shells ask, and what bash, zsh and fish make of it."""
import os
import re
import shutil

import pytest
import topology
from topology import TOP, Host

COMPLETION = f"{TOP}/docs/completion"


@pytest.fixture(scope="module")
def busy():
    with Host() as host:
        yield prepare(host)


def prepare(host):
    host.web = host.add("web")
    host.db = host.add("db")
    host.nsbpf("network", "add", "lab", "--subnet", "192.0.2.0/24")
    host.nsbpf("expose", host.web.name, "8080:80")
    host.nsbpf("expose", host.web.name, "[2001:db8:1::1]:5433:5432")
    host.nsbpf("expose", host.web.name, "6000-6010/udp")
    return host


def ask(host, line):
    """The candidates for a command line of which the last word is not complete."""
    result = host.run(topology.NSBPF, "complete", *line.split(" "))
    assert not result.stderr
    return [candidate.split("\t")[0] for candidate in result.stdout.splitlines()]


def verbs(host):
    """Each verb and its usage text, options on further lines included."""
    text = host.nsbpf("help").stdout
    names = re.findall(r"^  ([a-z]+) ", text, re.MULTILINE)
    return {name: host.nsbpf("help", name).stdout.split("\n\n  ")[0] for name in names}


def test_verbs(empty):
    assert ask(empty, "") == list(verbs(empty))
    assert ask(empty, "ex") == ["exec", "expose"]
    assert ask(empty, "-j ne") == ["network"]
    assert ask(empty, "--j") == ["--json"]
    assert ask(empty, "help unex") == ["unexpose"]


def test_every_option_of_the_usage_texts(empty):
    """Actions are tried as first words; whatever the usage text has is offered somewhere."""
    for verb, usage in verbs(empty).items():
        actions = {""} | set(ask(empty, f"{verb} "))
        offered = set()
        for action in actions:
            offered |= set(ask(empty, f"{verb} {action} -" if action else f"{verb} -"))
            offered |= set(ask(empty, f"{verb} {action} x -"))
        wanted = set(re.findall(r"(?<=[ \[|/])--?[a-z][a-z0-9-]*", usage))
        assert wanted <= offered, verb


def test_words_and_values_of_options(empty):
    assert ask(empty, "network ") == ["list", "add", "set", "del"]
    assert ask(empty, "network del x --") == []
    assert ask(empty, "network add x --isolate ") == ["on", "off"]
    assert ask(empty, "network add --isolate on x --mode ") == ["nat", "routed"]
    assert ask(empty, "network add x --mode=r") == ["--mode=routed"]
    assert ask(empty, "network set x --mode ") == []  # not one of its options
    assert "default" in ask(empty, "set timeout.udp ")
    assert ask(empty, "set inbound-refresh o") == ["on", "off"]
    assert ask(empty, "set timeout.u") == ["timeout.udp"]
    assert ask(empty, "metrics --textfile ") == [":files"]
    assert {"established", "unreplied"} <= set(ask(empty, "conntrack list --state "))
    for line in ("conntrack list -p ", "conntrack count --proto "):
        assert ask(empty, line) == ["tcp", "udp", "icmp", "icmpv6"]
    assert ask(empty, "apply ") == ask(empty, "monitor --pcap ") == [":files"]
    assert ask(empty, "exec x -- ") == [":commands"]


def test_names_of_what_runs(busy):
    web, db = busy.web.name, busy.db.name
    for line in ("del ", "exec ", "shell ", "expose ", "unexpose "):
        assert ask(busy, line) == [web, db], line
    assert ask(busy, "top --endpoint ") == [web, db]
    assert ask(busy, f"del {web[:-2]}") == [web]
    assert ask(busy, "network set ") == ["default", "lab"]
    assert ask(busy, "network add ") == []
    assert ask(busy, "add x --network=l") == ["--network=lab"]
    assert ask(busy, "uplink del ") == ["up0"]
    assert ask(busy, "why tcp ")[:2] == [busy.web.address, busy.web.address6]
    assert ask(busy, "why tcp x y --from ") == ["outside", "host", web, db]
    assert "up0" in ask(busy, "uplink add ") and "lo" not in ask(busy, "uplink add ")
    assert web not in ask(busy, "add ") and busy.outside.name in ask(busy, "add ")


def test_exposed_ports(busy):
    line = f"unexpose {busy.web.name} "
    assert sorted(ask(busy, line)) == ["6000-6010/udp", "8080", "[2001:db8:1::1]:5433"]
    assert ask(busy, line + "[2001:db8:1::1]:5") == ["[2001:db8:1::1]:5433"]
    assert ask(busy, f"unexpose {busy.db.name} ") == []


def test_each_candidate_is_taken(host):
    """What completion offers for `unexpose` is what `unexpose` wants."""
    prepare(host)
    for ports in ask(host, f"unexpose {host.web.name} "):
        host.nsbpf("unexpose", host.web.name, ports)
    assert host.json("ports") == []


def test_nothing_runs(empty):
    for line in ("del ", "network set ", "uplink del ", "unexpose x ", "top --endpoint "):
        assert ask(empty, line) == [], line
    assert empty.nsbpf("list", "-j").stdout.strip() == "[]"


def test_damaged(host):
    """No pins, no names; and no error in the middle of what somebody types."""
    prepare(host)
    os.unlink(f"{host.pin_directories()[0]}/maps/endpoints")
    ask(host, "del ")
    ask(host, "unexpose x ")


def test_odd_lines(empty):
    for line in ("nonsense ", "nonsense --", "add --ip", "add --ip ", "add --", "add -- ", "list x y z ", "=", "--",
                 "add =", "add --nonsense=", "add " + "x" * 5000 + " ", "add " + "x " * 200, "add --ip=" + "y" * 5000):
        ask(empty, line)
    assert empty.run(topology.NSBPF, "complete").stdout.startswith("add\t")


def bash(host, line):
    """What the shell would put in place of the last word."""
    script = (f'PATH={os.path.dirname(topology.NSBPF)}:$PATH; . {COMPLETION}/nsbpf.bash; '
              'COMP_LINE=$1; COMP_POINT=${#COMP_LINE}; _nsbpf; printf "%s\\n" "${COMPREPLY[@]}"')
    return host.run("bash", "-c", script, "bash", line).stdout.split()


def test_bash(busy):
    assert bash(busy, "nsbpf unex") == ["unexpose"]
    assert bash(busy, "nsbpf del ") == [busy.web.name, busy.db.name]
    # : and = divide words for bash
    assert bash(busy, f"nsbpf unexpose {busy.web.name} [2001:db8:1::1]:5") == ["5433"]
    assert bash(busy, "nsbpf add x --network=l") == ["lab"]
    assert "/etc/passwd" in bash(busy, "nsbpf metrics --textfile /etc/pass")
    assert "true" in bash(busy, f"nsbpf exec {busy.web.name} tru")


def test_bash_registers_it(empty):
    out = empty.run("bash", "-c", f". {COMPLETION}/nsbpf.bash; complete -p nsbpf").stdout
    assert out.split() == ["complete", "-F", "_nsbpf", "nsbpf"]


def test_fish(busy, tmp_path):
    if not shutil.which("fish"):
        pytest.skip("fish is not installed")

    def fish(line):
        script = (f"set -x PATH {os.path.dirname(topology.NSBPF)} $PATH; source {COMPLETION}/nsbpf.fish; "
                  f'complete -C "{line}"')
        out = busy.run("env", f"HOME={tmp_path}", "fish", "-c", script).stdout
        return [candidate.split("\t")[0] for candidate in out.splitlines()]

    assert fish("nsbpf unex") == ["unexpose"]
    assert fish("nsbpf del ") == [busy.web.name, busy.db.name]
    assert "[2001:db8:1::1]:5433" in fish(f"nsbpf unexpose {busy.web.name} ")
    assert "/etc/passwd" in fish("nsbpf metrics --textfile /etc/pass")


ZSH = """
autoload -Uz compinit && compinit -u -D
_describe() { print -rl -- "${(@)${(@P)@[-1]}//\\\\:/|}" }
_files() { print -r -- FILES }
_command_names() { print -r -- COMMANDS }
compset() { :; }
words=("$@") CURRENT=$#
. $COMPLETION/_nsbpf
"""


def zsh(host, *words):
    script = f"PATH={os.path.dirname(topology.NSBPF)}:$PATH COMPLETION={COMPLETION}{ZSH}"
    out = host.run("zsh", "-f", "-c", script, "zsh", *words).stdout
    return [candidate.split(":")[0].replace("|", ":") for candidate in out.splitlines()]


def test_zsh(busy):
    if not shutil.which("zsh"):
        pytest.skip("zsh is not installed")
    assert zsh(busy, "nsbpf", "unex") == ["unexpose"]
    assert zsh(busy, "nsbpf", "del", "") == [busy.web.name, busy.db.name]
    assert "[2001:db8:1::1]:5433" in zsh(busy, "nsbpf", "unexpose", busy.web.name, "")
    assert zsh(busy, "nsbpf", "metrics", "--textfile", "") == ["FILES"]
    assert zsh(busy, "nsbpf", "exec", "x", "") == ["COMMANDS"]
