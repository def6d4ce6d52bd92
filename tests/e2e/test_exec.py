# SPDX-License-Identifier: GPL-2.0-only
"""exec and shell: where the command runs, what it sees, and that its end is the caller's."""
import os
import pty
import select
import signal
import subprocess
import time

import pytest
from topology import ETC_NETNS, NETNS_DIR, run, wait_for


@pytest.fixture
def ns(host):
    return host.add("a")


@pytest.fixture
def inside(host, ns):
    def execute(*command, **more):
        return host.nsbpf("exec", ns.name, *command, **more)
    return execute


def test_runs_inside(inside, ns):
    assert "10.80.0.2/16" in inside("ip", "-4", "address").stdout
    assert os.stat(ns.path).st_ino == int(inside("stat", "-L", "-c", "%i", "/proc/self/ns/net").stdout)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 42, 255])
def test_exit_code(inside, code):
    assert inside("sh", "-c", f"exit {code}", check=False).returncode == code


def test_death_by_signal_is_seen(inside):
    """As a shell says it, or as the wait status itself where nsbpf became the command."""
    code = inside("sh", "-c", "kill -KILL $$", check=False).returncode
    assert code in (128 + signal.SIGKILL, -signal.SIGKILL)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGQUIT])
def test_signals_are_forwarded(host, ns, number):
    name = signal.Signals(number).name.removeprefix("SIG")
    script = f"trap 'echo got {name}; exit 9' {name}; echo ready; while :; do sleep 0.05; done"
    command = subprocess.Popen(host.nsbpf_command("exec", ns.name, "sh", "-c", script), stdout=subprocess.PIPE,
                               text=True)
    host.processes.append(command)
    assert command.stdout.readline() == "ready\n"
    command.send_signal(number)
    assert command.stdout.read() == f"got {name}\n"
    assert command.wait(5) == 9


def test_killing_it_leaves_no_orphan(host, ns):
    """SIGKILL can't be forwarded; the command must end with nsbpf all the same (or be nsbpf's own process)."""
    command = subprocess.Popen(host.nsbpf_command("exec", ns.name, "sh", "-c", "echo $$; exec sleep 60"),
                               stdout=subprocess.PIPE, text=True)
    host.processes.append(command)
    pid = int(command.stdout.readline())
    command.kill()
    command.wait(5)
    wait_for(lambda: not os.path.exists(f"/proc/{pid}"), what="the command is gone")


def test_standard_streams_and_arguments(inside):
    done = inside("sh", "-c", 'cat; printf "[%s]" "$@"; echo err >&2', "sh", "a b", "", "*", "--", "-j",
                  input="from stdin ")
    assert done.stdout == "from stdin [a b][][*][--][-j]"
    assert done.stderr == "err\n"


def test_double_dash_and_options_of_the_command(inside):
    assert inside("--", "echo", "x").stdout == "x\n"
    assert inside("echo", "--json", "-x").stdout == "--json -x\n"
    assert inside("--", "echo", "--", "-n").stdout == "-- -n\n"


def test_environment_and_directory_are_kept(inside, tmp_path):
    done = inside("sh", "-c", "pwd; echo $NSBPF_TEST", env={"NSBPF_TEST": "yes"}, cwd=tmp_path)
    assert done.stdout == f"{tmp_path}\nyes\n"


def test_etc_netns_is_over_etc(host, inside, ns):
    directory = f"{ETC_NETNS}/{ns.name}"
    os.makedirs(directory, exist_ok=True)
    with open(f"{directory}/hosts", "w", encoding="utf-8") as hosts:
        hosts.write("192.0.2.99 only-inside\n")
    assert inside("cat", "/etc/hosts").stdout == "192.0.2.99 only-inside\n"
    assert "only-inside" not in run("cat", "/etc/hosts").stdout
    assert "only-inside" not in host.run("cat", "/etc/hosts").stdout


def test_resolv_conf_inside(host):
    ns = host.add("b", "--dns", "192.0.2.53")
    assert "nameserver 192.0.2.53\n" in host.nsbpf("exec", ns.name, "cat", "/etc/resolv.conf").stdout
    assert "192.0.2.53" not in run("cat", "/etc/resolv.conf").stdout


def test_sys_shows_the_namespace(inside):
    assert sorted(inside("ls", "/sys/class/net").stdout.split()) == ["eth0", "lo"]


def test_bpffs_and_cgroups_stay_visible(inside):
    assert inside("sh", "-c", "ls /sys/fs/cgroup | wc -l").stdout.strip() != "0"


def test_no_mount_leaks_out(inside):
    before = run("cat", "/proc/self/mountinfo").stdout
    inside("sh", "-c", "mount -t tmpfs none /mnt && test -d /mnt")
    assert [line for line in run("cat", "/proc/self/mountinfo").stdout.splitlines()
            if line not in before and " nsfs " not in line] == []


def test_command_that_does_not_exist(inside):
    failed = inside("no-such-command-anywhere", check=False)
    assert failed.returncode in (2, 127)
    assert len(failed.stderr.splitlines()) == 1 and failed.stderr.startswith("nsbpf: ")
    assert "no-such-command-anywhere" in failed.stderr


@pytest.mark.parametrize("verb", [["exec"], ["shell"]])
def test_unknown_endpoint(host, ns, verb):
    command = ["true"] if verb == ["exec"] else []
    failed = host.nsbpf(*verb, host.name("nobody"), *command, check=False)
    assert failed.returncode == 3
    assert len(failed.stderr.splitlines()) == 1 and host.name("nobody") in failed.stderr


def test_endpoint_that_is_gone(host, ns):
    run("ip", "netns", "del", ns.name)
    failed = host.nsbpf("exec", ns.name, "true", check=False)
    assert failed.returncode in (2, 3)
    assert len(failed.stderr.splitlines()) == 1 and ns.name in failed.stderr


def test_a_long_command_is_in_nobodys_way(host, inside, ns):
    """Changes go on meanwhile: exec does not hold the lock."""
    sleeper = subprocess.Popen(host.nsbpf_command("exec", ns.name, "sh", "-c", "echo ready; exec sleep 60"),
                               stdout=subprocess.PIPE, text=True)
    host.processes.append(sleeper)
    assert sleeper.stdout.readline() == "ready\n"
    host.nsbpf("add", host.name("b"), timeout=10)
    inside("true", timeout=10)


@pytest.mark.parametrize("shell", ["/bin/bash", "/bin/sh"])
def test_shell_prompt_shows_the_name(host, ns, shell):
    command = host.nsbpf_command("shell", ns.name)
    pid, terminal = pty.fork()
    if not pid:
        os.execvpe(command[0], command, {**os.environ, "SHELL": shell, "TERM": "dumb", "PS1": "plain$ "})
    shown = b""

    def read_until(text, timeout=10):
        nonlocal shown
        end = time.monotonic() + timeout
        while text not in shown:
            assert time.monotonic() < end, f"no {text!r} in {shown!r}"
            if select.select([terminal], [], [], 0.1)[0]:
                try:
                    shown += os.read(terminal, 4096)
                except OSError:  # EIO: the shell has ended
                    break
        assert text in shown

    try:
        read_until(ns.name.encode())
        shown = b""
        os.write(terminal, b"echo at; ip -4 -o address show dev eth0; echo d''one\n")
        read_until(b"done")
        assert b"10.80.0.2/16" in shown
        os.write(terminal, b"exit 7\n")
        _, status = wait_for(lambda: (lambda got: got if got[0] else None)(os.waitpid(pid, os.WNOHANG)), 10)
        pid = 0
        assert os.waitstatus_to_exitcode(status) == 7
    finally:
        os.close(terminal)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def test_exec_needs_an_endpoint_of_this_host(host, ns):
    """A namespace that is there but not attached is no endpoint."""
    run("ip", "netns", "add", host.name("z"))
    assert os.path.exists(f"{NETNS_DIR}/{host.name('z')}")
    assert host.nsbpf("exec", host.name("z"), "true", check=False).returncode == 3
