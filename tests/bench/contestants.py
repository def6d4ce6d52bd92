# SPDX-License-Identifier: GPL-2.0-only
"""All who are measured (see contestant.py), in the order of the tables' columns."""
import os

from bridge import BridgeIptables, BridgeNft
from cni import Cni
from contestant import Bare, NsbpfClsact, NsbpfTcx
from redirect import Redirect


def contestants():
    """The classes, as far as this kernel has what they need: TCX is there from Linux 6.6 on."""
    kernel = tuple(int(part) for part in os.uname().release.split(".")[:2])
    with_tcx = (NsbpfTcx, Redirect)
    return [kind for kind in (Bare, BridgeIptables, BridgeNft, Cni, NsbpfTcx, NsbpfClsact, Redirect)
            if kernel >= (6, 6) or kind not in with_tcx]
