"""Where the time of a whole order goes: runs ``downstream demo`` and prints the figures of each step and of the page.

python bench/demo.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path


def main() -> None:
    """Measures and prints."""
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        program = str(Path(sys.executable).with_name("downstream"))
        subprocess.run([program, "demo", folder], check=True, stdout=subprocess.DEVNULL)
        whole = time.perf_counter() - started
        events = [json.loads(line) for line in Path(folder, "logs/processor.log").read_text().splitlines()]
        seconds: dict[str, list[float]] = defaultdict(list)
        for event in events:
            if event["event"] == "step.done":
                seconds[event["call"].partition("/")[0]].append(event["seconds"])
        for step, taken in seconds.items():
            print(f"{step:<10} {len(taken):2d} pieces   {min(taken):6.2f} to {max(taken):6.2f} s each")
        inspection = json.loads(Path(folder, "streams/demo/review/inspection.json").read_bytes())
        weight = next(check["figures"] for check in inspection["checks"] if check["name"] == "page.weight")
        print(f"page       {weight['whole_bytes']:,} bytes, {weight['before_scrolling_bytes']:,} before scrolling")
        print(f"whole      {whole:.1f} s")


if __name__ == "__main__":
    main()
