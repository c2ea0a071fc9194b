"""Which version a user gets: weighted rendezvous hashing, the same on every gateway replica without any state.

Each version bids for the user with a number drawn from a hash of both, and the highest bid wins: Thaler and
Ravishankar, "Using name-based mappings to increase hit rates", IEEE/ACM Transactions on Networking 6(1), 1998. The bid
-w / ln(u), with u uniform in (0, 1), gives version i the share w_i / sum(w): -ln(u) / w is exponential with rate w, and
the smallest of such numbers is the i-th with that probability. The highest bid is the smallest number.

A version's bid depends on nothing but its own weight. So a version that goes moves its own users only, and a version
that gains weight only wins users. Where one of two versions loses what the other gains, as in a canary, exactly as many
users move as the weights say. Beside a third version a few more go round: from the one that loses to the third, and as
many from the third to the one that gains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import blake2b

_STEPS = 2**52  # of u: each of them, and the middle between two, is a float


def pick(model: str, key: str, weights: Mapping[str, float]) -> str:
    """The version that a user of a model gets.

    Args:
        model: So that the users of two models are drawn independently.
        key: The user.
        weights: At least one version, each over 0; they need not sum up to anything.
    """
    return max(weights, key=lambda version: (_bid(f"{model}\0{version}\0{key}", weights[version]), version))


def _bid(text: str, weight: float) -> float:
    digest = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    u = ((int.from_bytes(digest, "big") >> 12) + 0.5) / _STEPS
    return -weight / math.log(u)
