# SPDX-License-Identifier: GPL-2.0-only
"""`rig`: one host for all the tests of a file, see rig.py."""
import pytest

from rig import Rig
from topology import Host


@pytest.fixture(scope="module")
def rig():
    with Host() as host:
        rig = Rig(host)
        yield rig
        rig.close()
