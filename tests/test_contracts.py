"""The house rules that a program can check: what may import what, purity, sizes, exports, errors, docstrings, versions."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from langchain_core.callbacks import BaseCallbackHandler

import callbridge
from callbridge import errors
from callbridge.core.methods import METHODS
from rooms import CONTRACTS, MIGRATE_ROOMS, MIRRORED, TESTED_ELSEWHERE, WAITING, Import, words

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "callbridge"
SOURCES = sorted(PACKAGE.rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
BENCHMARKS = sorted((ROOT / "benchmarks").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))

MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 700
LONG_FUNCTIONS: dict[str, str] = {}
"""`file:function` to the reason why it may be longer."""


@cache
def parse(path: Path) -> ast.Module:
    """Return the syntax tree of a source file."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def ring(path: Path) -> str:
    """Return the directory of the package that a file belongs to; `""` for the files at its root."""
    parts = path.relative_to(PACKAGE).parts
    return parts[0] if len(parts) > 1 else ""


def ids(path: Path) -> str:
    """Return a file's name for a test id."""
    return path.relative_to(ROOT).as_posix()


def each_of(paths: Iterable[Path]) -> Callable[[Callable[[Path], None]], Callable[[], None]]:
    """Make a test of a check: it looks at all of these files, and names each that is found wanting."""

    def decorate(check: Callable[[Path], None]) -> Callable[[], None]:
        def test() -> None:
            wanting = {}
            for path in paths:
                try:
                    check(path)
                except Exception as error:
                    wanting[ids(path)] = f"{type(error).__name__}: {error}"
            assert not wanting, "".join(f"\n{name}: {reason}" for name, reason in wanting.items())

        test.__name__, test.__qualname__, test.__doc__ = check.__name__, check.__qualname__, check.__doc__
        return test

    return decorate


each_source = each_of(SOURCES)


def imports(tree: ast.Module) -> Iterator[Import]:
    """Return all imports of a module, wherever they stand."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, "", node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield from (Import(node.module or "", alias.name, node.lineno) for alias in node.names)


# -- R1, R2, R4: what may import what ---------------------------------------------------------------------------------


@each_source
def test_a_file_imports_only_what_its_directory_may(path: Path) -> None:
    """R1: each directory has an import contract."""
    contract = CONTRACTS[ring(path) or (path.name if path.name in CONTRACTS else "")]
    broken = [found for found in imports(parse(path)) if not contract(found)]
    assert not broken, f"{contract.__doc__} Found {broken}"


@each_of([path for path in SOURCES if ring(path) == "migrate"])
def test_rooms_of_the_migration_tool_know_each_other_one_way_only(path: Path) -> None:
    """R1: reading code knows no rules, rules know no edits, and the commands alone know everything."""
    parts = path.relative_to(PACKAGE / "migrate").parts
    room = parts[0] if len(parts) > 1 else ""
    for found in imports(parse(path)):
        if found.module.startswith("callbridge.migrate."):
            other = found.module.split(".")[2]
            is_room = (PACKAGE / "migrate" / other).is_dir()
            assert not is_room or other in MIGRATE_ROOMS[room], f"line {found.line}: {room or path.name} imports {other}"


@cache
def import_graph() -> dict[str, frozenset[str]]:
    """Return which modules of the package each of them imports, for type checkers or inside functions included."""
    modules = {module_name(path): path for path in SOURCES}
    graph: dict[str, frozenset[str]] = {}
    for name, path in modules.items():
        taken = {
            found.module if f"{found.module}.{found.name}" not in modules else f"{found.module}.{found.name}"
            for found in imports(parse(path))
        }
        graph[name] = frozenset(taken & modules.keys() - {name})
    return graph


def module_name(path: Path) -> str:
    """Return the dotted name of a source file."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(("callbridge", *(parts[:-1] if parts[-1] == "__init__" else parts)))


def test_no_two_files_import_each_other() -> None:
    """R1: you can read the imports of a file before the file itself, because there is no circle of any length."""
    left = dict(import_graph())
    while leaves := [name for name, taken in left.items() if not taken & left.keys()]:
        for name in leaves:
            del left[name]
    assert not left, f"in a circle, or above one: {sorted(left)}"


# -- R27: tests -------------------------------------------------------------------------------------------------------


def test_each_file_has_tests_of_its_name() -> None:
    """R27: if you change a file, you find its tests without searching."""
    missing = []
    for path in SOURCES:
        source = path.relative_to(PACKAGE)
        if ring(path) in MIRRORED and path.name != "__init__.py" and source.as_posix() not in TESTED_ELSEWHERE:
            names = [f"test_{source.stem}.py", f"test_{source.parent.name}_{source.stem}.py"]
            if not any((ROOT / "tests" / source.parent / name).exists() for name in names):
                missing.append(source.as_posix())
    assert not missing
    assert all((PACKAGE / name).exists() and (ROOT / "tests" / place).exists() for name, place in TESTED_ELSEWHERE.items())


@each_of([path for path in SOURCES if ring(path) == "core"])
def test_the_core_neither_waits_nor_asks_for_the_time_nor_makes_ids(path: Path) -> None:
    """R2: no coroutine in `core/`, and waiting libraries in other rooms alone."""
    tree = parse(path)
    waits = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor)]
    assert not waits, f"lines {waits}"
    assert not [found for found in imports(tree) if found.module.split(".")[0] in WAITING]


@each_source
def test_private_names_stay_in_their_directory(path: Path) -> None:
    """R4: a `_name` is never imported across a directory boundary."""
    for found in imports(parse(path)):
        parts = found.module.split(".")
        if parts[0] == "callbridge" and (found.name.startswith("_") and found.name != "__version__"):
            home = parts[1] if len(parts) > 2 else ""
            assert home == ring(path), f"line {found.line}: {found.name} of {found.module}"


# -- R3: exports ------------------------------------------------------------------------------------------------------


def test_the_public_names_are_the_same_in_all_three_lists() -> None:
    """R3: `__all__`, the table of modules and the imports for type checkers name the same things in the same places."""
    tree = parse(PACKAGE / "__init__.py")
    guarded = next(node for node in tree.body if isinstance(node, ast.If))
    typed = {found.name: found.module for found in imports(ast.Module(guarded.body, [])) if found.module != "typing"}
    homes = {name: f"callbridge.{module}" for name, module in callbridge._HOMES.items()}
    assert typed == {**homes, "events": "callbridge", "relay": "callbridge"}
    assert {*homes, *errors.__all__, "events", "relay", "__version__"} == set(callbridge.__all__)
    assert callbridge.__all__ == sorted(callbridge.__all__)


def test_every_public_name_resolves_to_the_object_of_its_module() -> None:
    """R3: nothing is exported that is not there, and nothing is defined in `__init__`."""
    for name, module in callbridge._HOMES.items():
        home = importlib.import_module(f"callbridge.{module}")
        assert getattr(callbridge, name) is getattr(home, name), name
        assert name in home.__all__, f"{name} is public, but not in __all__ of {module}"
    assert set(callbridge.__all__) <= set(dir(callbridge))
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = callbridge.no_such_name


def test_all_errors_are_public() -> None:
    """R3, R18: you can name every error that you catch."""
    assert set(errors.__all__) <= set(callbridge.__all__)
    defined = {name for name, value in vars(errors).items() if isinstance(value, type) and value.__module__ == errors.__name__}
    assert defined == set(errors.__all__)


@cache
def names_taken() -> dict[str, set[str]]:
    """Return the names that the files of the package import from each module."""
    taken: dict[str, set[str]] = {}
    for found in (found for path in SOURCES for found in imports(parse(path)) if found.name):
        taken.setdefault(found.module, set()).add(found.name)
    return taken


@each_source
def test_a_module_lists_what_others_import_from_it(path: Path) -> None:
    """R3, within: `__all__` of a module names only what the module defines, and all that other modules take."""
    if path.name in ("__init__.py", "__main__.py"):
        return  # no module of its own
    name = ".".join(("callbridge", *path.relative_to(PACKAGE).with_suffix("").parts))
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        if "pip install 'callbridge[" not in str(error):
            raise
        return  # an extra that is not installed
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    assert not missing
    assert sorted(module.__all__) == sorted(set(module.__all__))
    taken = names_taken().get(name, set())
    assert taken <= set(module.__all__), f"imported elsewhere, not in __all__: {taken - set(module.__all__)}"


# -- R5: sizes --------------------------------------------------------------------------------------------------------


def functions(tree: ast.Module) -> list[Function]:
    """Return all functions and methods of a module."""
    return [node for node in ast.walk(tree) if isinstance(node, Function)]


def body_lines(function: Function) -> int:
    """Return how many lines a function's body has, its docstring not counted."""
    body = function.body
    if ast.get_docstring(function, clean=False) is not None:
        body = body[1:]
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


@each_of([*SOURCES, *EXAMPLES, *BENCHMARKS])
def test_functions_are_short(path: Path) -> None:
    """R5: what does not fit on a screen is taken apart, or listed with its reason."""
    lengths = {f"{ids(path)}:{function.name}": body_lines(function) for function in functions(parse(path))}
    long = {name: lines for name, lines in lengths.items() if lines > MAX_FUNCTION_LINES and name not in LONG_FUNCTIONS}
    assert not long


@each_of([*SOURCES, *EXAMPLES, *BENCHMARKS, *TESTS])
def test_files_are_short(path: Path) -> None:
    """R5: a file is one thing."""
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


# -- R6: no state of modules ------------------------------------------------------------------------------------------

MUTABLE_TYPES = words("list dict set defaultdict deque Counter OrderedDict bytearray WeakKeyDictionary WeakSet")
CONVENTIONS = frozenset(["__all__", "__slots__", "__match_args__"])


def is_mutable(value: ast.expr | None) -> bool:
    """Return whether an expression makes a container that can be changed."""
    if isinstance(value, ast.Call):
        function = value.func
        name = function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
        return name in MUTABLE_TYPES
    return isinstance(value, ast.List | ast.Dict | ast.Set | ast.ListComp | ast.DictComp | ast.SetComp)


def assignments(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr | None, int]]:
    """Return what a module or class body assigns, classes inside included."""
    for node in body:
        if isinstance(node, ast.Assign):
            yield from ((ast.unparse(target), node.value, node.lineno) for target in node.targets)
        elif isinstance(node, ast.AnnAssign):
            yield ast.unparse(node.target), node.value, node.lineno
        elif isinstance(node, ast.ClassDef | ast.If | ast.Try):
            yield from assignments(node.body)


@each_source
def test_no_module_or_class_holds_state(path: Path) -> None:
    """R6: tables are built once and frozen, so that two users of the package never meet."""
    tree = parse(path)
    found = [(name, line) for name, value, line in assignments(tree.body) if name not in CONVENTIONS and is_mutable(value)]
    assert not found
    rebound = [node.lineno for node in ast.walk(tree) if isinstance(node, ast.Global)]
    assert not rebound, f"`global` in lines {rebound}"


IMPORT_PROBE = """
import logging, signal, sys, threading, warnings
try: import exceptiongroup  # anyio needs it before CPython 3.11, and it sets `sys.excepthook`
except ImportError: pass
import langchain_core.callbacks, langchain_core.runnables, langchain_core.tracers.context as context
def state():
    return (list(logging.root.handlers), list(warnings.filters), list(context._configure_hooks), sys.excepthook,
            sys.unraisablehook, threading.excepthook, signal.getsignal(signal.SIGINT), threading.active_count(),
            sys.getswitchinterval(), list(sys.path_hooks), list(sys.meta_path), threading.gettrace(), sys.getprofile())
before = state()
import callbridge
for name in callbridge.__all__:
    getattr(callbridge, name)
assert state() == before, (before, state())
handlers = [name for name, logger in logging.root.manager.loggerDict.items()
            if name.startswith("callbridge") and getattr(logger, "handlers", None)]
assert not handlers, handlers
"""


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.thorough
def test_importing_changes_nothing_outside() -> None:
    """R6: no hook is registered with LangChain, no handler with logging, no thread started, no setting touched."""
    run_python(IMPORT_PROBE)


def test_importing_loads_neither_langchain_nor_anyio() -> None:
    """Names are resolved on first use: `import callbridge` alone costs next to nothing."""
    code = "import sys, callbridge; print([name for name in ('langchain_core', 'anyio', 'asyncio') if name in sys.modules])"
    assert run_python(code).strip() == "[]"


@pytest.mark.thorough
def test_importing_needs_only_the_required_dependencies() -> None:
    """What is optional is imported where it is used, and missing it breaks nothing else."""
    optional = [
        "langchain",
        "langchain_classic",
        "langchain_openai",
        "langgraph",
        "trio",
        "starlette",
        "sse_starlette",
        "uvicorn",
        "redis",
    ]
    code = f"""
import sys
for name in {optional}: sys.modules[name] = None
import callbridge
for name in callbridge.__all__: getattr(callbridge, name)
import callbridge.demo
"""
    run_python(code)


# -- R12: the table of callbacks --------------------------------------------------------------------------------------


def test_the_table_of_callbacks_is_total() -> None:
    """R12: every callback of the installed LangChain has a row that maps it or says why not."""
    installed = {name for name in dir(BaseCallbackHandler) if name.startswith("on_")}
    assert installed <= set(METHODS), f"without a row: {installed - set(METHODS)}"
    for name, method in METHODS.items():
        assert name == method.name
        assert method.event or method.extended or method.unmapped, f"{name} is neither mapped nor explained"


def test_the_flag_that_switches_a_callback_off_exists() -> None:
    """R12: the `ignore_*` attribute of each row is one that handlers have."""
    for method in METHODS.values():
        assert method.ignored_by is None or hasattr(BaseCallbackHandler, method.ignored_by), method


# -- R18: errors ------------------------------------------------------------------------------------------------------

FACTS: dict[str, object] = {
    "by": "receiver",
    "capacity": 4,
    "event": "on_chain_stream",
    "expected": "a whole number from 1 up",
    "found": "trio",
    "kind": "v2",
    "line": 3,
    "method": "on_llm_start",
    "name": "capacity",
    "needed": "an asyncio event loop",
    "path": "run.jsonl",
    "position": "1-12",
    "problem": "no start came before",
    "run": "r_1",
    "run_id": "7f00",
    "state": "running",
    "url": "redis://cache",
    "value": 0,
}


def error_classes() -> list[type[Exception]]:
    """Return all errors and warnings of the package."""
    return [getattr(errors, name) for name in errors.__all__]


def make_error(kind: type[Exception]) -> tuple[Exception, dict[str, object]]:
    """Return an instance of an error, and the facts it was made from."""
    constructor = inspect.unwrap(kind.__init__)
    parameters = list(inspect.signature(constructor).parameters.values())[1:] if inspect.isfunction(constructor) else []
    facts = {each.name: FACTS[each.name] for each in parameters if each.kind is not each.VAR_POSITIONAL}
    return kind(**facts), facts


@pytest.mark.parametrize("kind", error_classes())
def test_errors_have_one_base_and_keep_their_facts(kind: type[Exception]) -> None:
    """R18: one `except` catches them all, and nothing has to parse a message."""
    assert issubclass(kind, callbridge.CallbridgeError | callbridge.CallbridgeWarning)
    error, facts = make_error(kind)
    for name, value in facts.items():
        assert getattr(error, name) == value
        assert str(value) in str(error), f"{name} is not shown in {error!s}"
    documented = inspect.getdoc(kind) or ""
    assert all(re.search(rf"^\s+{name}: ", documented, re.MULTILINE) for name in facts if "Attributes:" in documented)


@pytest.mark.parametrize("kind", error_classes())
def test_errors_survive_pickling(kind: type[Exception]) -> None:
    """R18: an error that crosses a process keeps its type, facts and message."""
    error, facts = make_error(kind)
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is kind
    assert str(copy) == str(error)
    assert {name: getattr(copy, name) for name in facts} == facts


def test_every_error_stands_in_the_tree() -> None:
    """The docstring of `errors` draws all of them, each below its base."""
    drawn = re.findall(r"^[│├└─ ]*(\w+)(?:\(([\w, ]+)\))? ", (errors.__doc__ or "").split("```")[1], re.MULTILINE)
    assert {name for name, _ in drawn} | {"CallbridgeError", "CallbridgeWarning"} == set(errors.__all__)


# -- R22, R24: docstrings ---------------------------------------------------------------------------------------------


def public_callables() -> Iterator[tuple[str, Any]]:
    """Return the functions, classes and public methods that a user can reach from the package."""
    for name in sorted(set(callbridge.__all__) - set(errors.__all__) - {"__version__", "events", "relay"}):
        value = getattr(callbridge, name)
        yield name, value
        if isinstance(value, type):
            for attribute, method in vars(value).items():
                if not attribute.startswith("_") and inspect.isfunction(method):
                    yield f"{name}.{attribute}", method


MADE_BY_THE_PACKAGE = ("AsyncEventStream", "AsyncMessageStream", "EventStream", "MessageStream")
"""Classes that users get from functions, so that they never call the constructors."""


def parameters(value: Any) -> list[str]:
    """Return the names of what a callable takes, as its signature shows them."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return []
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    return [name for name, each in signature.parameters.items() if name != "self" and each.kind not in kinds]


def test_public_callables_are_documented() -> None:
    """R22: the first line is a sentence, and every argument of an exported callable is documented."""
    for name, value in public_callables():
        documented = inspect.getdoc(value)
        assert documented, f"{name} has no docstring"
        assert re.match(r"[A-Z`].*[.:]$", documented.splitlines()[0]), f"{name}: {documented.splitlines()[0]}"
        if "." not in name and name not in MADE_BY_THE_PACKAGE and not is_dataclass(value):  # its fields have docstrings
            missing = [each for each in parameters(value) if not re.search(rf"\b{each}\b", documented)]
            assert not missing, f"{name}: arguments not documented: {missing}"


def raised(function: Function) -> set[str]:
    """Return the errors of ours that a function raises itself."""
    found: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and isinstance(node.exc.func, ast.Name):
            found.add(node.exc.func.id)
    return found & set(errors.__all__)


def public_definitions(
    body: list[ast.stmt], owner: str = ""
) -> Iterator[tuple[str, str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Return name, docstring and node of the public functions and methods; a constructor is documented by its class."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            for name, documented, function in public_definitions(node.body, node.name):
                yield f"{node.name}.{name}", (ast.get_docstring(node) or "") if name == "__init__" else documented, function
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (
            not node.name.startswith("_") or node.name == "__init__"
        ):
            yield node.name, ast.get_docstring(node) or "", node


@each_source
def test_what_is_raised_is_documented(path: Path) -> None:
    """R22: a public function that raises an error of ours names it, or a base of it, under `Raises:`."""
    for name, documented, function in public_definitions(parse(path).body):
        for error in raised(function):
            bases = [base.__name__ for base in getattr(errors, error).__mro__ if issubclass(base, callbridge.CallbridgeError)]
            told = "Raises:" in documented and any(base in documented for base in bases)
            told = told or re.search(r"Raise what `\w+` would", documented) is not None
            assert told, f"{ids(path)}: {name} raises {error} and does not say so"


@each_of([*SOURCES, *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))])
def test_names_in_backticks_exist(path: Path) -> None:
    """R24: prose that names something of this package names something that is there."""
    for dotted in re.findall(r"`callbridge((?:\.\w+)+)", path.read_text(encoding="utf-8")):
        value: Any = callbridge
        for part in dotted.strip(".").split("."):
            try:
                value = getattr(value, part)
            except AttributeError:
                value = importlib.import_module(f"{value.__name__}.{part}")


def test_every_divergence_has_a_number_and_a_paragraph() -> None:
    """R26: what the source calls (D7) is in the docs, and the docs count without gaps."""
    listed = re.findall(r"^\*\*D(\d+)\. ", (ROOT / "docs" / "divergences.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [int(number) for number in listed] == list(range(1, len(listed) + 1))
    for path in SOURCES:
        named = set(re.findall(r"\bD(\d+)\b", path.read_text(encoding="utf-8")))
        assert named <= set(listed), f"{ids(path)}: not in docs/divergences.md: {named - set(listed)}"


# -- R25: versions ----------------------------------------------------------------------------------------------------


@each_source
def test_versions_are_asked_for_in_one_file(path: Path) -> None:
    """R25: branches on the version of LangChain or Python live in `compat.py`."""
    if path.name in ("compat.py", "demo.py", "__main__.py"):
        return  # to decide, or to print them
    for node in ast.walk(parse(path)):
        if isinstance(node, ast.Attribute) and node.attr in ("version_info", "VERSION", "CORE_VERSION", "hexversion"):
            raise AssertionError(f"line {node.lineno}: {ast.unparse(node)}")
    asked = [found for found in imports(parse(path)) if found.name in ("CORE_VERSION", "VERSION", "version_info")]
    assert not asked


def test_no_version_branch_outlives_its_reason() -> None:
    """R25: once the floor that `pyproject.toml` declares has passed a branch's version, the branch goes."""
    declared = re.search(r'"langchain-core>=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert declared
    floor = tuple(map(int, declared[1].split(".")))
    compat = PACKAGE / "compat.py"
    markers = re.findall(r"Delete when the floor passes ([\d.]+\d)", compat.read_text(encoding="utf-8"))
    branches = [name for name, value, _ in assignments(parse(compat).body) if value and "CORE_VERSION >" in ast.unparse(value)]
    assert len(markers) >= len(branches), f"each of {branches} needs a line 'Delete when the floor passes X'"
    stale = [marker for marker in markers if tuple(map(int, marker.split("."))) <= floor]
    assert not stale, f"langchain-core {declared[1]} is the floor: delete what was for before {stale}"


def test_the_installed_version_is_one_that_is_supported() -> None:
    """The suite runs on what `pyproject.toml` admits."""
    assert tuple(map(int, version("langchain-core").split(".")[:2])) >= (0, 3)
