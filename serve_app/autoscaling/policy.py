"""How many replicas a release needs: up as soon as they are needed, down only where that is sure to hold.

Ray asks ten times a second, and a wish that has lasted for `upscale_delay_s` or `downscale_delay_s` without a break is
fulfilled. What is decided here:

- *Up by the look-back*: by the mean over `look_back_period_s`, replicas have more than `target_utilisation` to do.
- *Up by the last three reports*, because a look-back takes long to notice a step: replicas were full, or a queue stood
  all the time, or requests were missed all the time. A queue that grows counts as load, and so does one that would not
  be executed within `drain_s`; one that shrinks fast enough asks for nothing.
- *Down*: those that stay would have `KEEP` of the target to do at most, by the mean over the look-back, and no row has
  waited for long. The gap between up and down is what keeps a steady load, at whatever rate, from making replicas come
  and go. The largest need of the whole hold-off counts (Crankshaw et al., "InferLine", SoCC 2020).
- *A replica that was missed is kept longer*: each time one is called back soon after it was sent away, the hold-off of
  the next one doubles.
- *What is too much is learned*: misses or a standing queue at a load below the target mean that replicas bear less than
  their latencies promise (a tight SLO, a neighbour on the machine). That load is the limit from then on, for
  `FORGET_S`; without it replicas would be sent away once they have helped.

Reports from before a replica came or went say nothing about those that are there now, and are left out.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from serve_app.autoscaling.history import History
from serve_app.autoscaling.load import STANDING_S, Load, load_of
from serve_app.autoscaling.memory import Memory, Situation
from serve_app.config.scaling import ScalingArgs

RECENT = 3  # reports
FULL = 0.9  # of a replica's time; the rest goes into handing over blocks
KEEP = 0.8  # of the target: what the replicas that stay may have after one has gone
FORGET_S = 1800.0  # after that a learned limit is tried again
_ROUNDING = 1e-9


def decide(args: ScalingArgs, situation: Situation, memory: Memory) -> Memory:
    """The next decision; until there is a new report it is the last one."""
    memory = memory.updated(situation)
    if memory.desired and situation.latest <= memory.latest:
        return memory
    memory = replace(memory, latest=situation.latest)
    window = _since_change(situation, memory.changed_at)
    if not window or min(map(len, window)) < RECENT:
        return memory.kept(situation)
    recent = load_of([history[-RECENT:] for history in window])
    steady = load_of(window) if situation.now - memory.changed_at >= situation.look_back_s / 2 else None
    memory = _learned(args, situation.now, recent, memory)
    needs = _Needs(args, min(args.target_utilisation, memory.limit))
    up = max(needs.at_once(recent), needs.up(steady) if steady else 1)
    if min(up, situation.most) > situation.target:
        return memory.raised(min(up, situation.most), _reason(recent))
    if steady and len(situation.running) == situation.target and steady.queue_s <= STANDING_S:
        down = max(up, needs.down(steady), situation.least)
        if down < situation.target:
            return memory.lowered(situation, down, _reason(steady))
    return memory.kept(situation)


def _since_change(situation: Situation, changed_at: float) -> list[History]:
    """Each running replica's reports of what happened since the last change; empty if one has none at all."""
    reports = situation.reports()
    since = [tuple(sample for sample in reports.get(name, ()) if sample.at > changed_at) for name in situation.running]
    window = [history[1:] for history in since]  # the first one also tells of the time before
    return window if all(window) else []


def _learned(args: ScalingArgs, now: float, recent: Load, memory: Memory) -> Memory:
    """Remember the load as the limit if it is too much, and forget an old limit."""
    if now - memory.limit_at > FORGET_S:
        memory = replace(memory, limit=math.inf)
    if _is_too_much(args, recent) and recent.per_replica < min(args.target_utilisation, memory.limit):
        lowest = args.target_utilisation / 2  # who cannot bear half of it is not helped by more replicas either
        memory = replace(memory, limit=max(recent.per_replica, lowest), limit_at=now)
    return memory


def _is_too_much(args: ScalingArgs, load: Load) -> bool:
    """Whether replicas cannot bear the load, whatever their latencies promise.

    Misses of replicas that have little to do come from deadlines that nobody could meet.
    """
    if load.growth < 0 and load.backlog_s <= -load.growth * args.drain_s:
        return False
    return load.stands or (load.misses and load.per_replica >= args.target_utilisation / 2)


@dataclass(frozen=True, slots=True)
class _Needs:
    """Replicas that a load needs, of which each bears `bearable` of what it could execute."""

    args: ScalingArgs
    bearable: float

    def at_once(self, load: Load) -> int:
        """What a few reports ask for: nothing unless replicas are full or cannot bear the load."""
        return self.up(load) if load.per_replica >= FULL or _is_too_much(self.args, load) else 1

    def up(self, load: Load) -> int:
        """Replicas that bear the load, and execute its queue in time."""
        need = max(_whole(load.arriving / self.bearable), _whole(load.arriving + load.backlog_s / self.args.drain_s))
        return max(need, load.replicas + 1) if _is_too_much(self.args, load) else need

    def down(self, load: Load) -> int:
        """Replicas that could bear the load for good."""
        return max(self.up(load), _whole(load.arriving / self.bearable / KEEP))


def _whole(replicas: float) -> int:
    return max(1, math.ceil(replicas - _ROUNDING))


def _reason(load: Load) -> str:
    words = [f"each of {load.replicas} has {load.per_replica:.2f} of what it could execute"]
    if load.backlog_s >= 0.1:
        words.append(f"a queue of {load.backlog_s:.1f} s")
    if load.misses:
        words.append("requests are missed or refused")
    return ", ".join(words)
