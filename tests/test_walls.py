"""The walls of the package, read from its imports: the paper's modules know nothing of the rest."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ordlib

ROOT = Path(ordlib.__file__).parent
PAPER = {
    *("skeleton", "relations", "losses", "likelihoods", "volume", "networks"),
    *("reconstruction", "camera", "metrics", "augment"),
}
BASE = {"errors", "shapes"}
WALLS = {
    **dict.fromkeys(PAPER | BASE, PAPER | BASE),
    "annotation": PAPER | BASE | {"annotation"},
    "labelling": BASE | {"labelling", "annotation", "data", "skeleton", "files", "arrays"},
}
FORBIDDEN = {
    "datasets": {"synthetic", "labelling", "experiments"},
    "synthetic": {"datasets", "labelling", "experiments"},
}
LAZY = {"cli", "__main__"}
"""Commands import what they run when they run it: `--help` starts at once."""


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """Modules and folders directly below `ordlib` that a file imports, and whether it waits."""
    tree = ast.parse(path.read_text())
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module == "ordlib":
            names = [f"ordlib.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            names = [node.module or ""]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        for name in names:
            if name.startswith("ordlib."):
                yield name.split(".")[1], id(node) not in top


FILES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_walls(path):
    room = path.relative_to(ROOT).with_suffix("").parts[0]
    for target, waits in imports(path):
        assert target in WALLS.get(room, {target}), f"{room} imports {target}"
        assert target not in FORBIDDEN.get(room, set()), f"{room} imports {target}"
        assert not waits or room in LAZY, f"{room} imports {target} inside a function"


def test_no_module_makes_its_names_up():
    for path in FILES:
        functions = [n for n in ast.parse(path.read_text()).body if isinstance(n, ast.FunctionDef)]
        assert "__getattr__" not in {function.name for function in functions}, path
