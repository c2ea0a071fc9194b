"""kill -9 of the only replica of the release that has 90% of the split: its requests are tried again elsewhere."""

from __future__ import annotations

import time
from pathlib import Path

from load_tests.releases import files, scene
from load_tests.releases.claims import Claim, all_right, nothing_lost
from load_tests.releases.files import DIGITS
from load_tests.releases.load import under_load
from load_tests.releases.outcomes import between, p_ms, share_of
from load_tests.releases.running import serving
from load_tests.releases.truth import labels_of

ROUNDS = 3
SPLIT = {"v1": 90, "v2": 10}


def only_replica_killed(folder: Path) -> list[Claim]:
    """Three times, each once the replica is back."""
    first = scene.base(folder).serving(files.digits("v1")).serving(files.digits("v2")).routed(DIGITS, SPLIT)
    claims = []
    with serving(first, folder, "kills") as running, under_load(running.sending(DIGITS)) as load:
        load.wait(scene.WARM_UP_S)
        for number in range(1, ROUNDS + 1):
            begin_s = time.perf_counter()
            pid = running.kill("digits-v1", DIGITS)
            is_back = scene.comes(lambda pid=pid: running.pids("digits-v1", DIGITS) not in ([], [pid]))  # type: ignore[misc]
            back_s = time.perf_counter() - begin_s
            is_ready = scene.answers_with(running, DIGITS, "v1")
            load.wait(scene.SETTLED_S + scene.QUIET_S / 2)
            hurt, late = between(load.outcomes, begin_s, begin_s + 1), between(load.outcomes, time.perf_counter() - 4)
            figures = (
                f"back after {back_s:.1f} s; slowest of the first second {p_ms(hurt, 1.0):.0f} ms; "
                f"v1 has {share_of(late, 'v1'):.0%} again"
            )
            claims.append(Claim(f"kill {number}: v1 comes back", figures, is_back and is_ready))
    truth = {version: labels_of(files.digits(version)) for version in SPLIT}
    return [nothing_lost(load), all_right(load.outcomes, truth), *claims]
