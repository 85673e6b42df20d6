"""Record what Lanarky's own handlers send: run by hand, where Lanarky is installed. See README.md."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from scenarios import key, play, scenarios


async def main() -> None:
    """Play all scenarios and write the transcripts."""
    from lanarky.adapters.langchain import callbacks

    made = {key(scenario): await play(callbacks, scenario) for scenario in scenarios()}
    path = Path(__file__).with_name("lanarky-0.8.8.json")
    path.write_text(json.dumps(made, ensure_ascii=True, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(main())
