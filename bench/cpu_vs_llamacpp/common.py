"""What every part needs: errors that say what to do, progress on stderr, child processes."""
import socket
import subprocess
import sys


class Problem(Exception):
    """An error whose message says what to do; printed without a traceback."""


def note(text):
    print(text, file=sys.stderr, flush=True)


def run(command, timeout=1800, stdin=None):
    """stdout of a program that must succeed; its last words on stderr are in the error."""
    command = [str(c) for c in command]
    try:
        done = subprocess.run(command, input=stdin, stdin=None if stdin is not None else subprocess.DEVNULL, capture_output=True,
                              text=True, errors="replace", timeout=timeout)
    except FileNotFoundError:
        raise Problem(f"{command[0]}: not found; build it, or give its folder") from None
    except subprocess.TimeoutExpired:
        raise Problem(f"{' '.join(command)}: no end after {timeout} s; try --quick, or a quieter machine") from None
    if done.returncode:
        words = " | ".join(done.stderr.strip().splitlines()[-3:])
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"status {done.returncode}"
        raise Problem(f"{' '.join(command)}: {how}: {words or 'no message'}; run it by hand to see all it says")
    return done.stdout


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
