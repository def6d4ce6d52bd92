# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures: `host`, a private host with an outside machine; `make_host` for more of them; `attach`, how nsbpf attaches;
`family`, for tests that run with IPv4 and with IPv6.

Tests marked `attach`, or that take the fixture of that name, run twice: with TCX links and with clsact filters. Those of
commands run twice as well: with build/nsbpf and with the sanitizers' build. (What a packet meets is BPF, the same in both.)
Where several of these and the family come together, pairs are tested and not all combinations: is_left_out().
"""
import inspect
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import topology  # noqa: E402
from families import FAMILIES  # noqa: E402
from topology import NSBPF, TOP, Host  # noqa: E402

HAS_TCX = tuple(int(part) for part in os.uname().release.split(".")[:2]) >= (6, 6)
SANITIZED = ("test_bad_input", "test_lifecycle", "test_networks", "test_rules", "test_status")

# Whoever started this may have had signals ignored (nohup does), and a shell cannot trap what it began by ignoring.
for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(number) == signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)

# Codes that no command of nsbpf ends with.
os.environ.setdefault("ASAN_OPTIONS", "exitcode=99")
os.environ.setdefault("UBSAN_OPTIONS", "exitcode=99,print_stacktrace=1")


def pytest_generate_tests(metafunc):
    if metafunc.module.__name__ in SANITIZED and not os.environ.get("NSBPF"):
        metafunc.parametrize("binary", [NSBPF, f"{TOP}/build/asan/nsbpf"], ids=["plain", "asan"], indirect=True,
                             scope="module")
    asked = "attach" in inspect.signature(metafunc.function).parameters
    if (asked or metafunc.definition.get_closest_marker("attach")) and "attach" in metafunc.fixturenames:
        metafunc.parametrize("attach", ["tcx", "clsact"], indirect=True)


def is_left_out(params):
    """Pairs do: how programs are attached and what family a packet is of have nothing to do with each other."""
    if "family" not in params or "attach" not in params or not HAS_TCX:
        return False
    asan = params.get("binary", NSBPF) != NSBPF
    return (params["attach"], params["family"].number) in [("clsact", 6), ("tcx", 4) if asan else None]


def pytest_collection_modifyitems(config, items):
    left_out = [item for item in items if hasattr(item, "callspec") and is_left_out(item.callspec.params)]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


@pytest.fixture(scope="module", autouse=True)
def binary(request):
    """The nsbpf that hosts use."""
    topology.NSBPF = getattr(request, "param", NSBPF)
    yield
    topology.NSBPF = NSBPF


@pytest.fixture
def attach(request):
    mode = getattr(request, "param", "tcx")
    if mode == "tcx" and not HAS_TCX:
        pytest.skip("this kernel has no TCX links")
    return mode


@pytest.fixture(params=FAMILIES.values(), ids=lambda family: family.name)
def family(request):
    return request.param


@pytest.fixture
def make_host(attach):
    """A function that makes one more private host; all are removed after the test, however it ended."""
    hosts = []

    def make():
        hosts.append(Host(attach))
        return hosts[-1]

    yield make
    problems = []
    for host in reversed(hosts):
        try:
            host.close()
        except AssertionError as problem:
            problems.append(str(problem))
    assert not problems, "\n".join(problems)


@pytest.fixture
def host(make_host):
    return make_host()


@pytest.fixture
def private():
    """For tests that mount things over this machine's own files."""
    if not os.environ.get("NSBPF_TEST_PRIVATE"):
        pytest.skip("needs a mount namespace of its own: use tests/run")
