"""What pyproject.toml cannot say: the bundle, which lies beside the package, travels in the wheel inside it."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))  # a build front end runs this file from elsewhere
bundles = runpy.run_path(str(ROOT / "monai_lesion" / "models" / "bundles.py"))


class BuildWithBundle(build_py):
    """Copies the bundle's own files, never weights; an editable install finds them in the checkout."""

    def run(self) -> None:
        """Build as usual, then copy."""
        super().run()
        if not self.editable_mode:
            for target, source in self.bundle().items():
                self.mkpath(str(Path(target).parent))
                self.copy_file(source, target)

    def bundle(self) -> dict[str, str]:
        """Files of the bundle by the place that they are copied to."""
        source, target = Path(bundles["CHECKOUT"]), Path(self.build_lib, "monai_lesion", bundles["CHECKOUT"])
        return {str(target / name): str(source / name) for name in bundles["bundle_files"](source)}

    def get_source_files(self) -> list[str]:
        """What the source distribution holds."""
        return [*super().get_source_files(), *self.bundle().values()]

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        """What was built."""
        return [*super().get_outputs(include_bytecode), *([] if self.editable_mode else self.bundle())]

    def get_output_mapping(self) -> dict[str, str]:
        """What was built, and of which file."""
        return {**super().get_output_mapping(), **({} if self.editable_mode else self.bundle())}


setup(cmdclass={"build_py": BuildWithBundle})
