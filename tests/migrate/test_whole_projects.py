"""Handler classes are found wherever they stand: other modules, re-exports, aliases, factories, bases, attributes."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from callbridge.migrate.analysis.project import Project, module_name
from callbridge.migrate.commands.scan import Settings, scan_files, scan_source, scan_text
from callbridge.migrate.rules.table import RULES

STREAMING = """
from langchain_core.callbacks import BaseCallbackHandler
class Show(BaseCallbackHandler):
    def on_llm_new_token(self, token, **kwargs):
        self.queue.put(token)
"""
OBSERVING = """
from langchain_core.callbacks import BaseCallbackHandler
class Show(BaseCallbackHandler):
    def on_llm_end(self, response, **kwargs):
        self.log(response)
"""
MODEL = "from langchain_openai import ChatOpenAI\n"


def attached(main: str, others: dict[str, str], path: str = "app/main.py") -> list[str]:
    """Return the handlers of the CB203 findings in a file of a project."""
    project = Project.build([(path, main), *others.items()])
    return [finding.facts["handler"] for finding in scan_source(main, path, project) if finding.rule == "CB203"]


WAYS = {
    "a module": ("from app.handlers import Show\nllm = ChatOpenAI(callbacks=[Show()])", {}),
    "a relative module": ("from .handlers import Show\nllm = ChatOpenAI(callbacks=[Show()])", {}),
    "a module's attribute": ("import app.handlers\nllm = ChatOpenAI(callbacks=[app.handlers.Show()])", {}),
    "an alias of the module": ("from app import handlers as h\nllm = ChatOpenAI(callbacks=[h.Show()])", {}),
    "an alias of the class": ("from app.handlers import Show as S\nT = S\nllm = ChatOpenAI(callbacks=[T()])", {}),
    "a re-export": (
        "from app import Show\nllm = ChatOpenAI(callbacks=[Show()])",
        {"app/__init__.py": "from .handlers import Show\n"},
    ),
    "a star": ("from app import Show\nllm = ChatOpenAI(callbacks=[Show()])", {"app/__init__.py": "from .handlers import *\n"}),
    "a renamed re-export": (
        "from app import Shown\nllm = ChatOpenAI(callbacks=[Shown()])",
        {"app/__init__.py": "from app.handlers import Show\nShown = Show\n"},
    ),
    "a factory": (
        "from app.make import handler\nllm = ChatOpenAI(callbacks=[handler(1)])",
        {"app/make.py": "from app.handlers import Show\ndef handler(x):\n    made = Show()\n    return made\n"},
    ),
    "a factory of a list": (
        "from app.make import handlers\nllm = ChatOpenAI(callbacks=handlers())",
        {"app/make.py": "from app.handlers import Show\ndef handlers():\n    return [Show()]\n"},
    ),
    "an object of another module": (
        "from app.state import shown\nllm = ChatOpenAI(callbacks=[shown])",
        {"app/state.py": "from app.handlers import Show\nshown = Show()\n"},
    ),
    "an attribute": (
        "from app.handlers import Show\nclass Page:\n    def __init__(self):\n        self.show = Show()\n"
        "    def ask(self):\n        return ChatOpenAI(callbacks=[self.show])",
        {},
    ),
    "a sum of lists": ("from app.handlers import Show\nextra = [Show()]\nllm = ChatOpenAI(callbacks=[] + extra)", {}),
    "a choice": ("from app.handlers import Show\nllm = ChatOpenAI(callbacks=[Show()] if stream else [])", {}),
    "a source directory": ("from app.handlers import Show\nllm = ChatOpenAI(callbacks=[Show()])", {}),
}


@pytest.mark.parametrize(("main", "others"), WAYS.values(), ids=WAYS)
def test_a_class_is_found(main: str, others: dict[str, str], request: pytest.FixtureRequest) -> None:
    """The same place is a finding if the class handles tokens, and none if it observes."""
    root = "src/" if "source" in request.node.name else ""
    for handlers, expected in ((STREAMING, ["app.handlers.Show"]), (OBSERVING, [])):
        files = {f"{root}{name}": text for name, text in {"app/handlers.py": handlers, **others}.items()}
        found = attached(MODEL + main, files, f"{root}app/main.py")
        assert [name.removeprefix("src.") for name in found] == expected


def test_a_base_of_the_project_counts() -> None:
    """A class is a handler through any number of modules, and inherits the hooks."""
    others = {"app/base.py": STREAMING, "app/handlers.py": "from app.base import Show as Base\nclass Mine(Base):\n    pass\n"}
    assert attached(MODEL + "from app.handlers import Mine\nllm = ChatOpenAI(callbacks=[Mine()])", others) == [
        "app.handlers.Mine"
    ]


def test_of_two_files_with_the_name_the_nearer_one_is_meant() -> None:
    """Two services in one repository, each with `handlers.py`."""
    main = MODEL + "from handlers import Show\nllm = ChatOpenAI(callbacks=[Show()])"
    others = {"one/handlers.py": STREAMING, "two/handlers.py": OBSERVING}
    assert attached(main, others, "one/main.py") == ["one.handlers.Show"]
    assert attached(main, others, "two/main.py") == []


def test_what_is_not_found_is_said_so() -> None:
    """A handler of a package that was not scanned may do anything: a finding, with the reason."""
    main = MODEL + "from elsewhere import PanelHandler\nllm = ChatOpenAI(callbacks=[PanelHandler()])"
    (finding,) = [each for each in scan_source(main, "a.py") if each.rule == "CB203"]
    assert finding.verdict == "adapter"
    assert "no scanned file defines" in finding.reason


def test_handlers_that_the_configuration_keeps_are_observers() -> None:
    """By full name, by class name, by pattern; of the class and of its uses."""
    text = STREAMING + MODEL + "llm = ChatOpenAI(callbacks=[Show()])\n"
    for pattern in ("app.Show", "Show", "*.Sh*w"):
        found = scan_text(text, "app.py", None, Settings(keep=(pattern,))).findings
        assert {finding.rule for finding in found} == {"CB404"}, pattern
    assert "CB302" in {finding.rule for finding in scan_text(text, "app.py", None, Settings(keep=("Other",))).findings}


def test_the_place_of_a_finding_is_its_source() -> None:
    """Snippet and span agree, whatever stands in the line before."""
    text = STREAMING + MODEL + "def f():\n    x = 'é'; llm = ChatOpenAI(callbacks=[Show()])\n"
    lines = text.split("\n")
    for finding in scan_source(text, "a.py"):
        if finding.line == finding.end_line:
            assert lines[finding.line - 1][finding.column : finding.end_column] == finding.snippet
    (finding,) = [each for each in scan_source(text, "a.py") if each.rule == "CB203"]
    assert (finding.qualname, finding.snippet) == ("f", "callbacks=[Show()]")


@pytest.mark.thorough
def test_processes_change_nothing(tmp_path: Path) -> None:
    """One process or two: the same findings in the same order."""
    (tmp_path / "handlers.py").write_text(STREAMING)
    files = [("handlers.py", tmp_path / "handlers.py")]
    for number in range(250):
        path = tmp_path / f"m{number:03}.py"
        path.write_text(MODEL + f"from handlers import Show\nllm{number} = ChatOpenAI(callbacks=[Show()])\n")
        files.append((path.name, path))
    done: list[int] = []
    alone, together = scan_files(files, jobs=1), scan_files(files, jobs=2, progress=done.append)
    assert alone == together
    assert sum(done) == len(files)
    assert sum(len(result.findings) for result in alone) > 2 * 250


def test_a_project_crosses_to_another_process() -> None:
    """Its cache stays behind."""
    main = MODEL + "from a import Show\nllm = ChatOpenAI(callbacks=[Show()])"
    project = Project.build([("a.py", STREAMING), ("b.py", main)])
    found = scan_source(main, "b.py", project)
    assert scan_source(main, "b.py", pickle.loads(pickle.dumps(project))) == found


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("app/handlers.py", "app.handlers"),
        ("app/__init__.py", "app"),
        ("./x.py", "x"),
        ("/abs/y.py", "abs.y"),
        ("__init__.py", "__main__"),
    ],
)
def test_modules_are_named_by_their_path(path: str, name: str) -> None:
    assert module_name(path) == name


def test_each_rule_has_a_file_and_cases_of_its_own() -> None:
    """Rules, files and tests mirror each other; the codes of what the scan itself reports have no check to test."""
    here = Path(__file__).parent
    rules = Path(scan_source.__code__.co_filename).parents[1] / "rules"
    names = {path.stem for path in rules.glob("cb*.py")}
    assert {name[:5].upper() for name in names} == set(RULES)
    tested = {path.stem.removeprefix("test_") for path in (here / "rules").glob("test_cb*.py")}
    assert tested == {name for name in names if not name.startswith("cb9")}
    for name in names:
        rule = RULES[name[:5].upper()]
        assert rule.name == name[6:].replace("_", "-")
