# SPDX-License-Identifier: GPL-2.0-only
"""A terminal with a command of a host in it."""
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time

ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|[()][0AB]|[=>78cM])|[\x0e\x0f\r]")
REDRAW = "\x0c"


class Terminal:
    """`with Terminal(host, "top") as terminal:`; the command is ended at the latest with it."""

    def __init__(self, host, *arguments, size=(24, 160), env=None):
        master, slave = pty.openpty()
        self.fd, self.raw = master, ""
        self._set_size(size)
        environment = {"TERM": "linux", **(env or {})}
        self.process = host.popen(*host.nsbpf_command(*arguments)[2:], stdin=slave, stdout=slave, stderr=slave,
                                  env=host.environment(environment))
        os.close(slave)

    def _set_size(self, size):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def resize(self, rows, columns):
        self._set_size((rows, columns))
        self.process.send_signal(signal.SIGWINCH)  # it is not the controlling terminal

    def press(self, keys):
        os.write(self.fd, keys.encode())

    def _read(self, timeout):
        """False at the end."""
        if not select.select([self.fd], [], [], timeout)[0]:
            return True
        try:
            self.raw += os.read(self.fd, 65536).decode(errors="replace")
        except OSError:  # nobody has it open any more
            return False
        return True

    @property
    def text(self):
        """What was written since forget(), without the escapes."""
        return ESCAPES.sub("\n", self.raw)

    def forget(self):
        self.raw = ""

    def wait(self, *words, timeout=5):
        """Until all of these were written since forget()."""
        end = time.monotonic() + timeout
        while not all(word in self.text for word in words):
            left = end - time.monotonic()
            assert left > 0 and self._read(left), f"{words} were not seen in {self.text!r}"
        return self.text

    def screen(self, *words, without=(), timeout=5):
        """Redraws until the screen has these words, and not those; returns what is on it."""
        end = time.monotonic() + timeout
        while True:
            self.forget()
            self.press(REDRAW)
            text = self.wait("q quit")
            if all(word in text for word in words) and not any(word in text for word in without):
                return text
            assert time.monotonic() < end, f"{words} without {without} is not what this is: {text!r}"

    def end(self, timeout=5):
        """Reads until the command has ended: its exit code."""
        end = time.monotonic() + timeout
        while self._read(0.1) and time.monotonic() < end:
            pass
        return self.process.wait(timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.fd)
