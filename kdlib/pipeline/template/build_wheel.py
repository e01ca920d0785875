"""Build step: put the files of this repository that a new project gets into the wheel, beside this module.

setuptools runs it, as pyproject.toml says; nothing imports it. In a clone `kdlib.pipeline.new_project` reads the files
where they are.
"""

from pathlib import Path

from setuptools.command.build_py import build_py

FILES = [".dvcignore", ".gitignore", "docs/parameters.md", "dvc.yaml", "params.yaml", "stages/*.py"]
TEMPLATE = Path("kdlib/pipeline/template")


class BuildWithTemplate(build_py):
    """Build the packages, and add FILES to kdlib/pipeline/template/."""

    def _template_files(self) -> list[str]:
        return sorted(path.as_posix() for pattern in FILES for path in Path().glob(pattern))

    def get_source_files(self) -> list[str]:
        """Return the files that a source distribution needs."""
        return [*super().get_source_files(), *self._template_files()]

    def run(self) -> None:
        """Build. An editable install gets no copy."""
        super().run()
        if self.editable_mode:
            return
        for path in self._template_files():
            target = Path(self.build_lib) / TEMPLATE / path
            self.mkpath(str(target.parent))
            self.copy_file(path, str(target))
