"""Makes a codebase of any size, to measure a scan: `python tests/source_trees.py [FILES LINES]`."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

__all__ = ["make_tree"]

_HANDLER = '''
class Handler{n}(BaseCallbackHandler):
    """Hands tokens to whoever waits."""

    def __init__(self, queue):
        self.queue = queue
        self.text = ""

    def on_llm_new_token(self, token, **kwargs):
        self.text += token
        self.queue.put(token)

    def on_llm_end(self, response, **kwargs):
        self.queue.put(None)
'''
_CALL = '''
def answer{n}(question, queue):
    """Answer a question."""
    handler = Handler{n}(queue)
    llm = ChatOpenAI(streaming=True, callbacks=[handler, Shown()])
    chain = LLMChain(llm=llm, prompt=PROMPT)
    return chain.run(question, callbacks=[StreamingStdOutCallbackHandler()])
'''
_PLAIN = '''

def compute{n}(
    values,
    limit={n},
):
    """Sum up what is below the limit.

    Args:
        values: Numbers, or what can be turned into some.
        limit: Added to each sum.

    Returns:
        The sums by their index.
    """
    result = {{}}
    dropped = []

    # What is empty is left out, and told.
    for index, value in enumerate(values):
        if value is None:
            dropped.append(index)
            continue

        try:
            result[index] = int(value) + limit
        except ValueError:
            logger.warning(
                "no number at %s",
                index,
            )

    config = {{
        "limit": limit,
        "names": ["a", "b"],
        "dropped": dropped,
    }}
    total = sum(part * 2 for part in range(limit)) + len(values) - {n}
    names = [str(value).strip().lower() for value in values if value and value != limit]
    table = {{name: (index, total // 2, config["limit"]) for index, name in enumerate(names)}}
    logger.info("computed %s of %s in %s", len(result), len(table), os.path.join("a", "b", names[0]))
    settings = Settings.load(
        path="settings-{n}.json",
        strict=True,
    )
    return settings.apply(result, **config)
'''
_IMPORTS = """import logging
import os
from langchain.callbacks.base import BaseCallbackHandler
from langchain.callbacks.streaming_stdout import StreamingStdOutCallbackHandler
from langchain.chains import LLMChain
from langchain.chat_models import ChatOpenAI
from package{other}.module{shared} import Handler{shared} as Shown

logger = logging.getLogger(__name__)
PROMPT = "Answer: {{question}}"
"""


def make_tree(root: Path, files: int, lines: int) -> int:
    """Write files that all use callbacks, each with one handler class and one call, and import another file's class.

    Returns:
        How many lines were written.
    """
    random, written = Random(files), 0
    for number in range(files):
        shared = random.randrange(min(files, 40))  # handlers live in few modules
        parts = [_IMPORTS.format(other=shared % 20, shared=shared), _HANDLER.format(n=number), _CALL.format(n=number)]
        size = random.randint(lines // files // 2, lines // files * 3 // 2)
        count = sum(part.count("\n") for part in parts)
        while count < size:
            parts.insert(random.randint(1, len(parts)), part := _PLAIN.format(n=len(parts)))
            count += part.count("\n")
        path = root / f"package{number % 20}" / f"module{number}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("".join(parts), encoding="utf-8")
        written += count
    return written


def _measure(files: int, lines: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        written = make_tree(Path(name), files, lines)
        command = [sys.executable, "-m", "callbridge", "scan", "--exit-zero", "--jobs", "2", "."]
        times, used = [], []
        for _ in range(3):
            started, before = time.perf_counter(), os.times()
            done = subprocess.run(command, cwd=name, capture_output=True, text=True, check=True)
            after = os.times()
            times.append(time.perf_counter() - started)
            used.append(after.children_user - before.children_user + after.children_system - before.children_system)
    machine = f"CPython {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    shown = ", ".join(f"{seconds:.2f}" for seconds in times)
    cpu = ", ".join(f"{seconds:.2f}" for seconds in used)
    print(f"scan of {files:,} files, {written:,} lines: {shown} s, {cpu} s of processor time ({machine})")
    print(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    given = [int(each) for each in sys.argv[1:]]
    _measure(*(given or (1800, 400_000)))
