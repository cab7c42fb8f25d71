"""The studio under load: samples lost, frame rate of the page, processor time and memory of the server.

`python benchmarks/studio.py` serves a simulated device at 2 kHz to a headless Chromium and prints one JSON object. It runs
for a minute; `--seconds 600` for the ten minutes of the requirement.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

FRAMES = """
new Promise(done => {
  const times = [];
  const note = time => { times.push(time); if (time - times[0] < SECONDS * 1000) requestAnimationFrame(note); else done(times); };
  requestAnimationFrame(note);
})
"""


def measure(n_channels: int, seconds: float, folder: Path) -> dict:
    """One run with the tab Signals open."""
    import psutil

    import myograph.cli  # noqa: F401  # its folder is where the server's process looks
    from chromium import open_page
    from studio_process import serve

    with serve(folder / "studio", "--set", f"n_channels={n_channels}") as address, open_page(folder) as page:
        server = next(p for p in psutil.Process(os.getpid()).children() if "studio" in " ".join(p.cmdline()))
        page.open(address)
        page.wait("document.querySelectorAll('.lamps li').length === 16")
        spent, memory, begun = sum(server.cpu_times()[:2]), server.memory_info().rss, time.monotonic()
        gaps = []
        while time.monotonic() - begun < seconds:
            times = page.value(FRAMES.replace("SECONDS", "5"))
            gaps += [b - a for a, b in itertools.pairwise(times)]
        wall = time.monotonic() - begun
        gaps.sort()
        return {
            "channels": n_channels,
            "rate_hz": 2000,
            "seconds": round(wall, 1),
            "frames_per_second": round(1000 * len(gaps) / sum(gaps), 1),
            "frame_ms_p99": round(gaps[int(0.99 * len(gaps))], 1),
            "server_share_of_a_core": round((sum(server.cpu_times()[:2]) - spent) / wall, 3),
            "server_memory_mb": round(server.memory_info().rss / 1e6),
            "server_memory_growth_mb": round((server.memory_info().rss - memory) / 1e6, 1),
            "status": page.value("document.getElementById('status').textContent"),
            "problems": page.problems,
        }


def main() -> None:
    """Print the figures of 16 and of 64 channels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--channels", type=int, nargs="*", default=[16, 64])
    given = parser.parse_args()
    found = []
    for n in given.channels:
        with tempfile.TemporaryDirectory() as folder:
            found.append(measure(n, given.seconds, Path(folder)))
    print(json.dumps({"cores": os.cpu_count(), "load": os.getloadavg()[0], "runs": found}, indent=1))


if __name__ == "__main__":
    main()
