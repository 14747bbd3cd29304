"""Prints the recipe for conda-forge: release/recipe.yaml with the version and the checksum of a source archive.

python -m release.conda dist/ecgframe-1.2.3.tar.gz > recipe.yaml
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from pathlib import Path

from .project import ROOT
from .running import Failed, run

RECIPE = ROOT / "release" / "recipe.yaml"
VERSION = re.compile(r'(?<=  version: ")0\.0\.0(?=")')
CHECKSUM = re.compile(r'(?<=  sha256: ")0{64}(?=")')
ARCHIVE = re.compile(r"ecgframe-(.+)\.tar\.gz")
# Renders the recipe as conda-forge would, and prints the platform and the version of each package.
RENDERED = """
import json, sys
from rattler_build import PlatformConfig, RenderConfig, Stage0Recipe, VariantConfig
recipe = Stage0Recipe.from_file(sys.argv[1])
variants = VariantConfig.from_yaml(sys.argv[2])
found = []
for platform in sys.argv[3:]:
    config = RenderConfig(PlatformConfig(target_platform=platform, build_platform="linux-64", host_platform=platform))
    for variant in recipe.render(variants, config):
        found.append([platform, variant.recipe.to_dict()["package"]["version"]])
print(json.dumps(found))
"""
PLATFORMS = ("linux-64", "linux-aarch64", "osx-64", "osx-arm64", "win-64")
VARIANTS = """
python: ["3.11.* *_cpython", "3.12.* *_cpython", "3.13.* *_cp313", "3.14.* *_cp314"]
numpy: ["2"]
c_compiler: [gcc]
c_stdlib: [sysroot]
"""


def recipe(archive: Path) -> str:
    """Return the recipe for a source archive.

    Raises:
        Failed: the archive is none of ecgframe.
    """
    version, checksum = _version(archive), hashlib.sha256(archive.read_bytes()).hexdigest()
    text = "".join(RECIPE.read_text(encoding="utf-8").partition("schema_version")[1:])  # without the comment above it
    return VERSION.sub(version, CHECKSUM.sub(checksum, text))


def _version(archive: Path) -> str:
    named = ARCHIVE.fullmatch(archive.name)
    if named is None:
        raise Failed(f"{archive.name} is not a source archive of ecgframe (ecgframe-VERSION.tar.gz)")
    return named[1]


def check(archive: Path, tools: Path, work: Path) -> list[str]:
    """Render the recipe for all platforms and Pythons; return remarks.

    Raises:
        Failed: rattler-build refuses it.
    """
    path = work / "recipe.yaml"
    path.write_text(recipe(archive), encoding="utf-8")
    rendered = json.loads(run(tools / "python", "-I", "-c", RENDERED, path, VARIANTS, *PLATFORMS, cwd=work))
    if {version for _, version in rendered} != {_version(archive)}:
        raise Failed(f"the recipe is rendered as {rendered}")
    return [f"recipe for conda rendered for {len(rendered)} platforms and Pythons"]


def main() -> None:
    """Print the recipe."""
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    try:
        sys.stdout.write(recipe(Path(sys.argv[1])))
    except (Failed, OSError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
