"""Who may change what is served: whoever bears one of the server's tokens, and no page in a browser."""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from serve_app.config.gateway import GatewayArgs
from serve_app.config.ray_token import ray_token
from serve_app.errors import Forbidden, Unauthorized

SETTING = "RAY_AUTH_MODE=token in the cluster, or args.admin.token_env of the gateway"
_SCHEME = "bearer "


class AdminToken:
    """Checks the headers of a request that changes what is served.

    Args:
        tokens: Each of them is enough; empty ones are none.
    """

    def __init__(self, tokens: Iterable[str] = ()) -> None:
        self._tokens = tuple(token.encode() for token in tokens if token)

    @classmethod
    def of(cls, args: GatewayArgs, environment: Mapping[str, str]) -> AdminToken:
        """The cluster's own token, as who may deploy may move traffic, and that of the gateway's `args.admin`."""
        own = environment.get(args.admin.token_env, "").strip() if args.admin else ""
        return cls((ray_token(environment), own))

    def check(self, headers: Mapping[str, str], subject: str) -> None:
        """Let the request pass.

        A browser sends `Origin` with whatever a page of another site makes it send, and pages cannot leave it out.

        Args:
            headers: Of the request, or a gRPC call's metadata; names in lower case.
            subject: What is asked for, for the sentence.

        Raises:
            Forbidden: It comes from a page in a browser, or the server has no token.
            Unauthorized: It has no token, or a wrong one.
        """
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            raise Forbidden(f"{subject} from a page in a browser")
        if not self._tokens:
            raise Forbidden(subject, SETTING)
        given = headers.get("authorization", "")
        if not given:
            raise Unauthorized(f"{subject} needs a token: send 'authorization: Bearer ...'")
        sent = given[len(_SCHEME) :].strip() if given.lower().startswith(_SCHEME) else ""
        is_right = [hmac.compare_digest(token, sent.encode(errors="surrogateescape")) for token in self._tokens]
        if not any(is_right):
            raise Unauthorized(f"{subject} needs another token than the one sent")
