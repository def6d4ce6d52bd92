# SPDX-License-Identifier: GPL-2.0-only
"""`sides`: nsbpf and Linux, for all scripts of a run."""
import os
import sys

import pytest

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "packets"))

from sides import Linux, Nsbpf  # noqa: E402
from taps import one_cpu  # noqa: E402


@pytest.fixture(scope="module")
def sides():
    with one_cpu(), Nsbpf() as nsbpf, Linux() as linux:
        yield nsbpf, linux
