# SPDX-License-Identifier: GPL-2.0-only
"""What nsbpf has to pass of docs/nat-conformance.md, but for what takes long: `make conformance` has all of it."""
import pytest
from nats import Nsbpf
from row_families import FAMILIES
from rows import PARTS
from scene import measure
from table import Fails, exception


def parameter(part, family):
    reason = exception(part, family)
    marks = [pytest.mark.xfail(strict=True, raises=Fails, reason=reason)] if reason else []
    return pytest.param(part, family, id=f"{part.row}-{part.function.__name__}-{family.name}", marks=marks)


@pytest.fixture(scope="module")
def outcomes(request):
    """Of both families: they share the time that a row takes."""
    return measure(request.param, Nsbpf)


@pytest.mark.parametrize("outcomes, family", [parameter(part, family) for part in PARTS if not part.slow
                                              for family in FAMILIES],
                         indirect=["outcomes"], scope="module")
def test_row(outcomes, family):
    passed, fact = outcomes[family]
    if passed is None:
        pytest.fail(fact)
    if not passed:
        raise Fails(fact)
