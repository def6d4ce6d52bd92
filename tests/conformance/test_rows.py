# SPDX-License-Identifier: GPL-2.0-only
"""What nsbpf has to pass of docs/nat-conformance.md, but for what takes long: `make conformance` has all of it."""
import pytest
from nats import Nsbpf
from net import Net
from rows import PARTS
from table import EXCEPTIONS, Fails


def parameter(part):
    reason = EXCEPTIONS.get(part.function.__name__)
    marks = [pytest.mark.xfail(strict=True, raises=Fails, reason=reason)] if reason else []
    return pytest.param(part, id=f"{part.row}-{part.function.__name__}", marks=marks)


@pytest.mark.parametrize("part", [parameter(part) for part in PARTS if not part.slow])
def test_row(part):
    with Net(Nsbpf, **part.options) as net:
        part.function(net)
