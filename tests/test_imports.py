"""Imports in alexnet_tf run one way: entry points at the top, system/ at the bottom.

All import statements count, inside functions too. Those under `if TYPE_CHECKING:` cannot cause a
circle at run time, so only the direction of theirs is checked.
"""

import ast
import functools
import graphlib

from tests.commands import ROOT

# A folder may import from the folders of lower levels, and from its own level.
LEVELS = [
    {"system"},
    {"layers", "visualize"},
    {"models"},
    {"data", "weights"},
    {"evaluation"},
    {"training", "serving", "figures", "preparation", "inspection", "recipes"},
    {"towers"},
    {""},  # alexnet_tf/*.py: the entry points, and what they share
]
LEVEL = {folder: number for number, folders in enumerate(LEVELS) for folder in folders}
DATA_MAY_IMPORT = {"alexnet_tf.models.spec"}  # of models
# The one place where training knows of the towers; it must be inside a function.
TOWERS_SEAM = "alexnet_tf.training.run"


@functools.cache
def modules():
    """Name of each module of the package: its syntax tree."""
    files = sorted((ROOT / "alexnet_tf").rglob("*.py"))
    names = [".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files]
    return {
        name.removesuffix(".__init__"): ast.parse(file.read_text(encoding="utf-8"))
        for name, file in zip(names, files, strict=True)
    }


def imported(node):
    """Names of modules that an import statement imports, if they are the package's."""
    names = []
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        assert node.level == 0, "imports are absolute"
        for alias in node.names:  # a module of a package, or something in a module
            inner = f"{node.module}.{alias.name}"
            names.append(inner if inner in modules() else node.module)
    return [name for name in names if name.startswith(("alexnet_tf.", "tools", "tests"))]


def imports(name, type_checking=True):
    """Line and name of each module that a module imports."""

    def visit(node, checking):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            checking = True
        if not checking or type_checking:
            yield from ((node.lineno, module) for module in imported(node))
        for child in ast.iter_child_nodes(node):
            yield from visit(child, checking)

    def statements():
        for statement in modules()[name].body:
            yield from visit(statement, False)

    return list(statements())


def folder(name):
    """The part of a module's name that has a level; "" for an entry point."""
    part = name.partition(".")[2].split(".")[0]
    return part if part in LEVEL else ""


@functools.cache
def entry_points():
    """Modules that run when `python -m` names them."""
    return {name for name, tree in modules().items() if "__main__" in name or any(
        isinstance(node, ast.If) and ast.unparse(node.test) == "__name__ == '__main__'"
        for node in tree.body
    )}  # fmt: skip


def test_every_folder_has_its_level():
    folders = {path.parent.name for path in (ROOT / "alexnet_tf").glob("*/__init__.py")}
    assert folders <= LEVEL.keys()
    assert {"alexnet_tf.train", "alexnet_tf.figures.__main__"} <= entry_points()


def test_imports_run_one_way():
    wrong = []
    for name in modules():
        if name == "alexnet_tf" or name in entry_points():
            continue
        for line, module in imports(name):
            if name == TOWERS_SEAM and folder(module) == "towers":
                continue
            models_in_data = folder(name) == "data" and folder(module) == "models"
            if LEVEL[folder(module)] > LEVEL[folder(name)] or (
                models_in_data and module not in DATA_MAY_IMPORT
            ):
                wrong.append(f"{name}:{line} imports {module}")
    assert not wrong, "\n".join(wrong)


def test_training_imports_towers_at_one_place_and_only_when_it_needs_them():
    body = modules()[TOWERS_SEAM].body
    at_the_top = {module for node in body for module in imported(node)}
    assert not {module for module in at_the_top if folder(module) == "towers"}
    inside = [module for _, module in imports(TOWERS_SEAM) if folder(module) == "towers"]
    assert len(inside) <= 1


def test_no_modules_import_each_other_in_a_circle():
    graph = {
        name: {module for _, module in imports(name, type_checking=False)} - {name}
        for name in modules()
        if name != "alexnet_tf"  # its __getattr__ imports on first use
    }
    list(graphlib.TopologicalSorter(graph).static_order())  # raises CycleError with the circle


def test_nothing_imports_an_entry_point():
    wrong = [
        f"{name}:{line} imports {module}"
        for name in modules()
        for line, module in imports(name)
        if module in entry_points()
    ]
    assert not wrong, "\n".join(wrong)


def test_the_package_imports_neither_tools_nor_tests():
    wrong = [
        f"{name}:{line} imports {module}"
        for name in modules()
        for line, module in imports(name)
        if module.split(".")[0] != "alexnet_tf"
    ]
    assert not wrong, "\n".join(wrong)
