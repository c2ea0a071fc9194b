"""Closed-loop load by `wrk`, which needs a tenth of the CPU of a generator in Python."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from load_tests.points import ClosedPoint, LoadFailed
from load_tests.target import Target

INSTALL = "apt-get install wrk"
_TIMEOUT_S = 30
_RESULT = "wrk-result "

# wrk's own report rounds and mixes units; `done` has the figures themselves, latencies in microseconds.
_SCRIPT = """
local requests, index = {}, 0

function init(arguments)
  local headers = { %(headers)s }
  for number = 1, %(bodies)d do
    local file = assert(io.open(%(folder)s .. "/" .. number, "rb"))
    requests[number] = wrk.format("POST", nil, headers, file:read("*a"))
    file:close()
  end
end

function request()
  index = index %% #requests + 1
  return requests[index]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '%(result)s{"requests": %%d, "us": %%d, "status": %%d, "socket": %%d, "p50": %%d, "p90": %%d, "p99": %%d}\\n',
    summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
"""


def find_wrk() -> str | None:
    """The path of `wrk`, or None where it is not installed."""
    return shutil.which("wrk")


def needed_wrk() -> str:
    """The path of `wrk`.

    Raises:
        SystemExit: It is not installed; the message says how it is.
    """
    found = find_wrk()
    if found is None:
        raise SystemExit(f"wrk is not installed: {INSTALL}")
    return found


def run(wrk: str, target: Target, connections: int, seconds: float) -> ClosedPoint:
    """Put a closed-loop load on a target with one thread of `wrk`.

    Args:
        wrk: Path of the program.
        target: Its bodies are sent in turn.
        connections: How many send at a time.
        seconds: For how long, in whole seconds: what is more is cut off.

    Raises:
        LoadFailed: wrk gave no result, e.g. because nobody listens.
    """
    with tempfile.TemporaryDirectory() as folder:
        script = write_script(Path(folder), target)
        command = [wrk, "-t", "1", "-c", str(connections), "-d", f"{max(1, int(seconds))}s"]
        command += ["--timeout", f"{_TIMEOUT_S}s", "-s", str(script), target.url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - not a shell
    return parse(done.stdout + done.stderr, connections, target.name)


def write_script(folder: Path, target: Target) -> Path:
    """Write the bodies and the Lua script that sends them; gives the script's path."""
    for number, body in enumerate(target.bodies, 1):
        (folder / str(number)).write_bytes(body)
    headers = [("Content-Type", target.content_type), *target.headers]
    script = folder / "load.lua"
    script.write_text(
        _SCRIPT
        % {
            "headers": ", ".join(f"[{_quoted(name)}] = {_quoted(value)}" for name, value in headers),
            "bodies": len(target.bodies),
            "folder": _quoted(str(folder)),
            "result": _RESULT,
        }
    )
    return script


def parse(printed: str, connections: int, name: str) -> ClosedPoint:
    """The point in what wrk and the script printed.

    Raises:
        LoadFailed: There is none.
    """
    results = [line.removeprefix(_RESULT) for line in printed.splitlines() if line.startswith(_RESULT)]
    if not results:
        raise LoadFailed(f"wrk put no load on {name}: {printed.strip()[:300] or 'it printed nothing'}")
    figures: dict[str, int] = json.loads(results[0])
    seconds, answers = figures["us"] / 1e6, figures["requests"]
    return ClosedPoint(
        connections=connections,
        seconds=seconds,
        answers=answers,
        requests_per_s=(answers - figures["status"]) / seconds,
        p50_ms=figures["p50"] / 1000,
        p90_ms=figures["p90"] / 1000,
        p99_ms=figures["p99"] / 1000,
        failed=figures["status"] + figures["socket"],
        tool="wrk",
    )


def _quoted(text: str) -> str:
    """A Lua string literal of printable text."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
