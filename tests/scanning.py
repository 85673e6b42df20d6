"""Sources that say themselves what a rule finds in them."""

from __future__ import annotations

import re
from textwrap import dedent

from callbridge.migrate.analysis.project import Project
from callbridge.migrate.commands.scan import scan_source


def check(code: str, source: str, others: dict[str, str] | None = None, path: str = "app.py") -> None:
    """Check that a rule finds what the source's comments say, and nothing else.

    `# CB203 adapter` at the end of a line stands for a finding of CB203 with verdict adapter that begins there; a source
    without such a comment is a near miss.
    """
    text = dedent(source).lstrip("\n")
    lines = enumerate(text.split("\n"), 1)
    expected = sorted((number, match[1]) for number, line in lines for match in re.finditer(rf"# {code} (\S+)", line))
    project = Project.build([(path, text), *((name, dedent(each)) for name, each in (others or {}).items())])
    found = scan_source(text, path, project)
    assert not [finding for finding in found if finding.rule == "CB900"], found
    assert sorted((finding.line, finding.verdict) for finding in found if finding.rule == code) == expected
    for finding in found:
        assert finding.reason or finding.verdict in ("keep", "auto-safe", "auto-review"), finding
