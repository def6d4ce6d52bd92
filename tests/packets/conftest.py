# SPDX-License-Identifier: GPL-2.0-only
"""`rig`: one host for all the tests of a file, see rig.py."""
import os

import pytest

from rig import Rig
from topology import NSBPF, Host


@pytest.fixture(scope="module")
def rig():
    if os.geteuid():
        pytest.skip("needs root")
    if not os.access(NSBPF, os.X_OK):
        pytest.fail(f"{NSBPF} is not built")
    with Host() as host:
        rig = Rig(host)
        yield rig
        rig.close()
