"""How many small faults the tests of a module notice: a sample of mutants, each run in a fork.

    pip install cosmic-ray
    python benchmarks/mutants.py monai_lesion/pipeline/steps.py [more files] --most 100 --seed 18

cosmic-ray makes the mutants (comparisons, numbers, operators, keywords changed); what differs in annotations alone does
not count. Each file's mutants meet the quick tests of its own name and its doctests, in a copy of the tree. Prints the
mutants that no test noticed, and the score by file. Linux only.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 900  # a mutant that takes longer never ends


def behaviour(code: str) -> str:
    """What a module does: its tree without annotations."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            node.returns = None
        elif isinstance(node, ast.arg):
            node.annotation = None
        elif isinstance(node, ast.AnnAssign):
            node.annotation = ast.Constant(None)
    return ast.dump(tree)


def parts(node: Any) -> Iterator[Any]:
    yield node
    for child in getattr(node, "children", ()):
        yield from parts(child)


def places(file: str) -> list[tuple[str, str, int]]:
    from cosmic_ray.ast import get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    nodes = list(parts(get_ast((ROOT / file).read_bytes())))
    names = [name for name in sorted(operator_names()) if "no-op" not in name and "variable" not in name.lower()]
    counts = {name: sum(len(list(get_operator(name)().mutation_positions(node))) for node in nodes) for name in names}
    return [(file, name, number) for name, count in counts.items() for number in range(count)]


def mutants(files: list[str], most: int, seed: int) -> Iterator[tuple[str, str]]:
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    every = [place for file in files for place in places(file)]
    random.Random(seed).shuffle(every)
    seen, made = {(file, behaviour((ROOT / file).read_text(encoding="utf-8"))) for file in files}, 0
    for file, name, number in every:
        code = mutate_code((ROOT / file).read_bytes(), get_operator(name)(), number)
        try:
            found = file, behaviour(code)
        except SyntaxError:
            continue
        if made < most and found not in seen:
            seen.add(found)
            made += 1
            yield file, code


def tests_of(file: str) -> list[str]:
    place = Path(file).relative_to("monai_lesion")
    return [str(Path("tests") / place.with_name(f"test_{place.name}")), file]


def noticed(tree: Path, file: str, code: str) -> bool:
    """Whether the tests fail with this code in place of the file's."""
    (tree / file).write_text(code, encoding="utf-8")
    child = os.fork()
    if child == 0:
        import pytest

        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(1, 2)
        os._exit(int(pytest.main([*tests_of(file), "-x", "-m", "not slow", "-p", "no:cacheprovider"])))
    end = time.monotonic() + SECONDS
    while not (status := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.02)
    if not status[0]:
        os.kill(child, 9)
        os.waitpid(child, 0)
    return status[1] != 0 or not status[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--most", type=int, default=100, help="mutants to draw")
    parser.add_argument("--seed", type=int, default=18)
    options = parser.parse_args()
    tree = Path(tempfile.mkdtemp())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, listed.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, tree / name)
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    import monai.transforms  # noqa: F401 - what the tests import and no mutant changes, once for all forks
    import torch  # noqa: F401

    from monai_lesion.machine.packages import load_package

    load_package("onnxruntime")

    drawn, dead = Counter[str](), Counter[str]()
    originals = {file: (ROOT / file).read_text(encoding="utf-8") for file in options.files}
    if failing := [file for file, code in originals.items() if noticed(tree, file, code)]:
        sys.exit(f"the tests of {', '.join(failing)} must pass as it stands")
    for file, code in mutants(options.files, options.most, options.seed):
        drawn[file] += 1
        if noticed(tree, file, code):
            dead[file] += 1
        else:
            pairs = zip(originals[file].splitlines(), code.splitlines(), strict=False)
            print(f"{file}: nobody noticed", *(f"\n  - {a}\n  + {b}" for a, b in pairs if a != b), flush=True)
        (tree / file).write_text(originals[file], encoding="utf-8")
    for file, count in drawn.items():
        print(f"{file}: {dead[file]} of {count} noticed")
    shutil.rmtree(tree)


if __name__ == "__main__":
    main()
