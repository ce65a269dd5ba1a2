"""environment.yml, pyproject.toml and the installed packages agree."""

import re
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from ordlib.skeleton import H36M17, convert

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
LISTED = (ROOT / "environment.yml").read_text("utf-8")
# The expression by which the Makefile derives what pip installs.
PINS = {
    canonicalize_name(name): pin
    for name, pin in re.findall(r"^ *- ([A-Za-z0-9_.-]*)==(.*)$", LISTED, re.MULTILINE)
}
DIRECT = [
    Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
]


@pytest.mark.parametrize("requirement", DIRECT, ids=lambda requirement: requirement.name)
def test_each_direct_dependency_is_pinned_within_its_range(requirement):
    assert requirement.specifier, "a direct dependency states the oldest version that works"
    assert requirement.specifier.contains(PINS[canonicalize_name(requirement.name)])


def test_direct_pins_stand_in_their_own_group():
    direct, pulled_in = LISTED.split("# pulled in by these")
    names = {canonicalize_name(requirement.name) for requirement in DIRECT}
    assert {name for name in PINS if f"- {name}==" in direct.lower()} == names
    assert not [name for name in names if f"- {name}==" in pulled_in.lower()]


def test_installed_versions_are_the_pinned_ones():
    # The local part, such as +cpu, names a build of the same version.
    installed = {name: Version(version(name)).public for name in PINS}
    assert installed == PINS


def test_lower_bound_of_python_is_the_same_everywhere():
    bound = PROJECT["requires-python"]
    assert f"- python{bound}\n" in LISTED
    assert "(3, 11)" in (ROOT / "Makefile").read_text("utf-8")
    assert bound == ">=3.11"


def test_shapes_are_checked_when_asked_for(pytestconfig):
    if not pytestconfig.getoption("--jaxtyping-packages"):
        pytest.skip("run with --jaxtyping-packages=ordlib,beartype.beartype to check shapes")
    with pytest.raises(TypeError, match="joints"):
        convert(torch.zeros(17, 3, dtype=torch.int64), H36M17, H36M17)
