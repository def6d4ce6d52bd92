# SPDX-License-Identifier: GPL-2.0-only
"""How far a run is, while it runs."""
import shutil
import sys
import time


class Progress:
    """On a terminal one line that changes; else one a round, so that a log stays short."""

    def __init__(self, total):
        self.total, self.done, self.start = total, 0, time.monotonic()
        self.terminal = sys.stderr.isatty()

    def step(self, what):
        if self.terminal:
            line = f"{self.percent()} {what}"[:shutil.get_terminal_size().columns - 1]
            print(f"{self.clear()}{line}", end="", file=sys.stderr, flush=True)
        self.done += 1

    def milestone(self, what):
        if not self.terminal:
            print(f"{self.percent()} {what}", file=sys.stderr, flush=True)

    def problem(self, what):
        print(f"{self.clear()}failed: {what}", file=sys.stderr, flush=True)

    def end(self):
        print(self.clear(), end="", file=sys.stderr, flush=True)

    def percent(self):
        spent = time.monotonic() - self.start
        left = f", {spent / self.done * (self.total - self.done) / 60:.0f} min left" if self.done else ""
        return f"[{100 * self.done // self.total:3d} %{left}]"

    def clear(self):
        return "\r\033[K" if self.terminal else ""
