"""`python -m bench [NAME …] [--quick]`: one JSON object a line, a summary table last.

Exits with 1 if a result was wrong (a failed call, a lost event), never because it was slow.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import importlib.util
import json
import os
import sys
import time
import traceback
from collections.abc import Sequence

from bench.lines import Line, say
from engine import logs

BENCHES = (
    "inbound", "concurrent", "reaction", "first-ring", "accept", "dialer", "timers", "events", "roster",
)  # fmt: skip
COLUMNS = ("bench", "ours", "baseline", "ratio", "unit", "n", "failed")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the named benches, all of them if none is named; the exit code."""
    there = [name for name in BENCHES if importlib.util.find_spec(_module(name))]
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(there)}; default: all")
    parser.add_argument("--quick", action="store_true", help="under a minute each, with rougher figures")
    parsed = parser.parse_args(arguments)
    if unknown := [name for name in parsed.names if name not in there]:
        parser.error(f"no bench is called {', '.join(unknown)}; there are {', '.join(there)}")
    logs.set_up(level="warning")  # to stderr: figures go to stdout alone
    lines: list[Line] = []
    broken: list[str] = []
    for name in parsed.names or there:
        say(f"{name}: begins, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
        began = time.monotonic()
        try:
            found = asyncio.run(importlib.import_module(_module(name)).run(parsed.quick))
        except Exception:
            traceback.print_exc()
            broken.append(name)
            continue
        for one in found:
            print(json.dumps(one, ensure_ascii=False), flush=True)
        lines += found
        say(f"{name}: {time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f}")
    print(_table(lines))
    wrong = [str(one["bench"]) for one in lines if one["failed"]]
    for name in broken:
        say(f"{name} could not be carried out")
    if wrong:
        say(f"wrong results in: {', '.join(wrong)}")
    return 1 if wrong or broken else 0


def _module(name: str) -> str:
    return f"bench.{name.replace('-', '_')}"


def _table(lines: Sequence[Line]) -> str:
    rows = [COLUMNS, *(tuple(_cell(one[column]) for column in COLUMNS) for one in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(COLUMNS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column in (0, 4) else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def _cell(value: object) -> str:
    return "–" if value is None else str(value)


if __name__ == "__main__":
    sys.exit(main())
