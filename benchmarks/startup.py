"""How long the command line and the import take to answer.

    python benchmarks/startup.py [--repeats 9]

Fresh interpreters, taken in turns with an empty one; medians.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "an empty interpreter": ("-c", "pass"),
    "import monai_lesion": ("-c", "import monai_lesion"),
    "monai-lesion --help": ("-m", "monai_lesion.commands.app", "--help"),
}


def seconds(arguments: tuple[str, ...]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=9)
    options = parser.parse_args()
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(options.repeats):
        for name, arguments in COMMANDS.items():
            times[name].append(seconds(arguments))
    for name, values in times.items():
        print(f"{name:<24}{statistics.median(values) * 1e3:7.0f} ms")
    print("wanted: import under 200 ms, help under 500 ms")


if __name__ == "__main__":
    main()
