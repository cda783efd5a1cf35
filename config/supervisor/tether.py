"""Becomes the command it is given, after asking Linux to kill that command when the supervisor dies.

Run by path, in an isolated interpreter without site packages: `tether.py PARENT_PID COMMAND ARGUMENT…`. It is a
program and not a function that runs between fork and exec because the supervisor has a second thread.
"""

import ctypes
import os
import sys

_PR_SET_PDEATHSIG = 1  # prctl(2)
_SIGKILL = 9


def main() -> None:
    """Tie this process to its parent and become the command; end quietly when the parent is gone already."""
    parent = int(sys.argv[1])
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
    if os.getppid() == parent:
        os.execvp(sys.argv[2], sys.argv[2:])  # noqa: S606 - becoming it is the point


if __name__ == "__main__":
    main()
