"""Makes the example of an extension visible to the unit tests, as an installed package is; unnamed, it is not used."""

from __future__ import annotations

import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

EXAMPLE = Path(__file__).resolve().parents[1] / "extension_example"


@pytest.fixture(scope="session", autouse=True)
def installed_example(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Put the package on the path, with the metadata that an installer writes of its pyproject.toml."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    places = [str(EXAMPLE), str(metadata(tmp_path_factory.mktemp("installed"), project))]
    sys.path += places
    yield
    for place in places:
        sys.path.remove(place)


def metadata(folder: Path, project: dict[str, Any]) -> Path:
    """Write a package's metadata into a folder of the path."""
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    named = f"Name: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\n{named}", encoding="utf-8")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups), encoding="utf-8")
    return folder
