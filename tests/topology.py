# SPDX-License-Identifier: GPL-2.0-only
"""A private "host" with an "outside" machine, for tests that need real traffic.

      namespace nt<run>-<n>h ("host")                             namespace nt<run>-<n>o ("outside")
     +----------------------------------------+                  +-----------------------------------+
     | nsbpf runs here                        |                  | lo    203.0.113.2/32              |
     |                          up0           |                  |       2001:db8:cafe::2/128        |
     |   nsb-NAME ...           198.51.100.1/24 ---- veth ------ wan0  198.51.100.2/24               |
     |      |               2001:db8:1::1/64  |                  |       2001:db8:1::2/64, fe80::2   |
     |      |  default via 198.51.100.2,      |                  |                                   |
     +------|--- fe80::2 ---------------------+                  +-----------------------------------+
            | veth
     +------|----------------+
     | eth0  10.80.0.2/16 ...|  namespace nt<run>-<n>NAME, made by `nsbpf add`
     +-----------------------+

Nothing here touches the machine's own network: every device lives in a namespace that a Host made, and goes with it.
"""
import contextlib
import glob
import itertools
import json
import os
import secrets
import shutil
import subprocess

import pytest
# Packet and wait_for are for the tests
from processes import AGENTS, PYTHON, Capture, Line, Packet, Server, Session, run, wait_for  # noqa: F401

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
NSBPF = os.environ.get("NSBPF") or os.path.join(TOP, "build", "nsbpf")
NETNS_DIR = "/run/netns"
ETC_NETNS = "/etc/netns"

HOST_ADDRESS = "198.51.100.1"
OUTSIDE_ADDRESS = "198.51.100.2"
OUTSIDE_FAR = "203.0.113.2"  # beyond the outside machine: reached by the host's default route only
HOST_ADDRESS6 = "2001:db8:1::1"
OUTSIDE_ADDRESS6 = "2001:db8:1::2"
OUTSIDE_FAR6 = "2001:db8:cafe::2"
OUTSIDE_LINK_LOCAL = "fe80::2"  # as a router would advertise itself

# not the PID: test runs in PID namespaces of their own still share /etc/netns
_run = secrets.token_hex(2)
_numbers = itertools.count(1)


class Netns:
    """A named network namespace, and what a test does inside it."""

    def __init__(self, name, owner=None):
        self.netns = name
        self.path = f"{NETNS_DIR}/{name}"
        self._owner = owner or self

    @property
    def name(self):
        return self.netns

    def command(self, *command, via="nsenter"):
        if via == "exec":
            return ["ip", "netns", "exec", self.netns, *map(str, command)]
        return ["nsenter", f"--net={self.path}", *map(str, command)]

    def run(self, *command, via="nsenter", **more):
        return run(*self.command(*command, via=via), **more)

    def popen(self, *command, via="nsenter", **more):
        """A process inside, ended with the Host at the latest. nsenter and ip exec the command: the pid is its own."""
        process = subprocess.Popen(self.command(*command, via=via), **more)
        self._owner.processes.append(process)
        return process

    def agent(self, kind, *arguments):
        agent = kind(self, *arguments)
        self._owner.agents.append(agent)
        return agent

    def ip(self, *arguments):
        return run("ip", "-n", self.netns, *arguments).stdout

    def ip_json(self, *arguments):
        return json.loads(run("ip", "-n", self.netns, "-j", *arguments).stdout or "[]")

    def ip_batch(self, *lines):
        run("ip", "-n", self.netns, "-batch", "-", input="\n".join(lines) + "\n")

    def sysctl(self, name, value=None):
        """Reads, or sets, a sysctl of this namespace ("net.ipv4.ip_forward", or with slashes)."""
        path = "/proc/sys/" + (name if "/" in name else name.replace(".", "/"))
        if value is None:
            return self.run("cat", path).stdout.strip()
        return self.run("sh", "-c", 'printf %s "$1" > "$2"', "sh", value, path).stdout

    def add_address(self, address, device):
        """ADDRESS/LENGTH, usable at once."""
        self.ip("address", "add", address, "dev", device, *(["nodad"] if ":" in address else []))

    def link(self, device):
        return self.ip_json("-d", "link", "show", "dev", device)[0]

    # servers: ready when the call returns; port 0 lets the kernel choose
    def tcp_echo(self, port=0, address="0.0.0.0"):
        return self._serve("tcp-echo", address, port)

    def udp_echo(self, port=0, address="0.0.0.0"):
        return self._serve("udp-echo", address, port)

    def web(self, port=0, address="0.0.0.0"):
        return self._serve("web", address, port)

    def _serve(self, what, address, port):
        return self.agent(Server, what, address, str(port))

    # clients
    def tcp_session(self, address, port, source=None, source_port=None, timeout=3.0):
        return self._session("tcp", address, port, source, source_port, timeout, True)

    def udp_session(self, address, port, source=None, source_port=None, timeout=2.0, connect=False):
        return self._session("udp", address, port, source, source_port, timeout, connect)

    def tcp(self, address, port, text="hello", **more):
        """One question, one answer: the server's view, with the client's own as "client"; or {"error"}."""
        return self._ask(self.tcp_session(address, port, **more), text)

    def udp(self, address, port, text="hello", **more):
        return self._ask(self.udp_session(address, port, **more), text)

    def ping(self, address, count=1, timeout=2, **more):
        return self.run("ping", "-n", "-c", count, "-i", "0.2", "-W", timeout, address, check=False, **more)

    def _session(self, proto, address, port, source, source_port, timeout, connect):
        options = {"address": address, "port": port, "source": source, "source_port": source_port, "timeout": timeout,
                   "connect": connect}
        return self.agent(Session, "session", proto, json.dumps(options))

    def _ask(self, session, text):
        with session:
            if "error" in session.first:
                return session.first
            return Line(session.ask(text), client=session.first)

    # raw frames
    def capture(self, device):
        return self.agent(Capture, device)

    def send(self, device, *frames):
        """Frames (bytes, or scapy packets) out of a device, as an application with CAP_NET_RAW would."""
        self.run(PYTHON, AGENTS, "send", device, input="".join(bytes(frame).hex() + "\n" for frame in frames))


class Host(Netns):
    """The private host. `with Host() as host:` or close() removes it and everything that was made through it."""

    def __init__(self, attach="tcx"):
        if os.geteuid():
            pytest.skip("needs root")
        if not os.access(NSBPF, os.X_OK):
            pytest.fail(f"{NSBPF} is not built")
        number = next(_numbers)
        self.prefix = f"nt{_run}-{number}"
        super().__init__(self.prefix + "h")
        self.attach = attach
        self.agents = []
        self.processes = []
        self.machines = []
        self.outside = None
        try:
            self._make(self)
            self.outside = self.machine("o")
            self.connect(self, "up0", self.outside, "wan0")
            self.ip_batch(f"address add {HOST_ADDRESS}/24 dev up0", f"route add default via {OUTSIDE_ADDRESS}",
                          f"address add {HOST_ADDRESS6}/64 dev up0 nodad",
                          f"route add default via {OUTSIDE_LINK_LOCAL} dev up0")
            self.outside.ip_batch(f"address add {OUTSIDE_ADDRESS}/24 dev wan0", f"address add {OUTSIDE_FAR}/32 dev lo",
                                  f"address add {OUTSIDE_ADDRESS6}/64 dev wan0 nodad",
                                  f"address add {OUTSIDE_FAR6}/128 dev lo")
            self.cookie = json.loads(self.run(PYTHON, AGENTS, "cookie").stdout)["cookie"]
        except BaseException:
            self.close()
            raise

    def _make(self, netns):
        run("ip", "netns", "add", netns.netns)
        netns.ip("link", "set", "lo", "up")

    def name(self, short):
        """An endpoint's name that no other host uses, in this test run or another. (Its own namespace's is .netns.)"""
        return self.prefix + short

    def machine(self, short):
        """One more namespace with nothing but lo."""
        netns = Netns(self.prefix + short, self)
        self.machines.append(netns)
        self._make(netns)
        return netns

    @staticmethod
    def connect(a, device_a, b, device_b):
        """A veth pair between two namespaces, up: fe80::1 and fe80::2, without the IPv6 chatter of fresh devices."""
        a.ip("link", "add", device_a, "type", "veth", "peer", "name", device_b, "netns", b.netns)
        for netns, device, address in ((a, device_a, "fe80::1"), (b, device_b, OUTSIDE_LINK_LOCAL)):
            netns.ip_batch(f"link set {device} addrgenmode none", f"link set {device} up",
                           f"address add {address}/64 dev {device} nodad")

    # nsbpf
    def nsbpf_command(self, *arguments, via="nsenter"):
        if via == "exec" and not os.access("/proc/1/ns/mnt", os.R_OK):
            pytest.skip("under `ip netns exec` nsbpf needs process 1's mount namespace, closed here: use tests/run")
        return self.command(NSBPF, *arguments, via=via)

    def environment(self, env=None):
        forced = {"NSBPF_FORCE_CLSACT": "1"} if self.attach == "clsact" else {}
        return {**os.environ, **forced, **(env or {})}

    def nsbpf(self, *arguments, check=True, env=None, via="nsenter", **more):
        return run(*self.nsbpf_command(*arguments, via=via), check=check, env=self.environment(env), **more)

    def json(self, *arguments, **more):
        return json.loads(self.nsbpf(*arguments, "-j", **more).stdout)

    def add(self, short, *options, **more):
        """`nsbpf add` under a unique name; returns the Endpoint."""
        self.nsbpf("add", self.name(short), *options, **more)
        return self.endpoint(short)

    def endpoint(self, short):
        return Endpoint(self, self.name(short))

    def endpoints(self):
        return {entry["name"]: entry for entry in self.json("list")}

    # the end
    def close(self):
        problems = []
        for agent in self.agents:
            agent.stop()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.wait()
        if os.path.exists(self.path) and os.path.exists(NSBPF):
            try:
                done = self.nsbpf("down", check=False)
                if done.returncode:
                    problems.append(f"down: exit code {done.returncode}: {done.stderr}")
            except subprocess.TimeoutExpired as error:
                problems.append(str(error))
        for name in mine(NETNS_DIR, self.prefix):
            if run("ip", "netns", "del", name, check=False).returncode:
                with contextlib.suppress(OSError):
                    os.unlink(f"{NETNS_DIR}/{name}")
        for name in mine(ETC_NETNS, self.prefix):
            shutil.rmtree(f"{ETC_NETNS}/{name}", ignore_errors=True)
        for directory in self.pin_directories():
            problems.append(f"{directory} was left behind")
            shutil.rmtree(directory, ignore_errors=True)
        if problems:
            raise AssertionError("; ".join(problems))

    def pin_directories(self):
        """Where this host's state is, and what a killed command left beside it (COOKIE.new, COOKIE.old)."""
        if not hasattr(self, "cookie"):  # the constructor did not get so far
            return []
        return [path for mount in bpffs_mounts() for path in glob.glob(f"{mount}/nsbpf/{self.cookie:016x}*")]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Endpoint(Netns):
    """A namespace that nsbpf attached to a host."""

    def __init__(self, host, name):
        super().__init__(name, host)
        self.host = host

    @property
    def info(self):
        return self.host.endpoints()[self.name]

    @property
    def address(self):
        return self.info["addresses"][0]

    @property
    def address6(self):
        """None if it has only IPv4."""
        return next((address for address in self.info["addresses"] if ":" in address), None)

    def address_of(self, family):
        return self.address6 if family.number == 6 else self.address

    def gateway_of(self, family):
        return self.info["gateway6" if family.number == 6 else "gateway"]

    @property
    def device(self):
        return self.info["device"]

    @property
    def resolv_conf(self):
        return f"{ETC_NETNS}/{self.name}/resolv.conf"


def mine(directory, prefix):
    """Names of a Host in a directory that others use as well. The digit check keeps nt1-1 from taking nt1-10h."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    return sorted(name for name in names if name.startswith(prefix) and not name[len(prefix):len(prefix) + 1].isdigit())


def bpffs_mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        for line in mounts:
            fields = line.split()
            if fields[fields.index("-") + 1] == "bpf":
                yield fields[4]
