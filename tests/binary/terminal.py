"""Drives a program through a pseudo terminal.

Arguments: the program and its arguments. Standard input: a JSON list of [text to wait for, what to type then].
Writes everything that the terminal showed to standard output and ends with the program's exit code; 99 if a text never came.
"""

import json
import os
import pty
import select
import sys
import time

PATIENCE = 300


def main():
    steps = json.load(sys.stdin)
    child, terminal = pty.fork()
    if child == 0:
        os.environ["TERM"] = "xterm"
        os.execv(sys.argv[1], sys.argv[1:])
    shown, unseen = b"", 0
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        while steps and (found := shown.find(steps[0][0].encode(), unseen)) >= 0:
            unseen = found + len(steps[0][0].encode())
            os.write(terminal, steps.pop(0)[1].encode())
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if not ready:
            continue
        try:
            part = os.read(terminal, 65536)
        except OSError:
            part = b""
        if not part:
            break
        shown += part
    sys.stdout.buffer.write(shown)
    if steps:
        os.kill(child, 9)
        print(f"\nnever came: {steps[0][0]!r}")
    _, status = os.waitpid(child, 0)
    sys.exit(99 if steps else os.waitstatus_to_exitcode(status))


main()
