"""A command as a terminal starts it: Ctrl-C reaches it, which a job in the background ignores."""

import os
import signal
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]


def start(command, *, session=False, **environment):
    """Start a command on one thread; with a session of its own, Ctrl-C can be sent to all that it starts."""
    inherited = {name: value for name, value in os.environ.items() if name != "RAY_USAGE_STATS_ENABLED"}
    return subprocess.Popen(
        command,
        cwd=ROOT,
        env={**inherited, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=session,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
