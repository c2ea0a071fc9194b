"""The limit of Ray Serve's data plane: a bare ASGI callable that reads a body and answers a constant, without a log."""

from ray import serve

_ANSWER = (
    b'{"model_name":"digits","outputs":[{"name":"probabilities","datatype":"FP32","shape":[1,10],"data":'
    b"[0.0000024825854,1.5982427e-7,0.0000013200488,0.00045510926,2.1949496e-8,0.000042166197,3.4619103e-7,2.123888e-7,"
    b"0.00002832657,0.9994698]},"
    b'{"name":"label","datatype":"INT64","shape":[1],"data":[9]}]}'
)
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(_ANSWER)).encode())]


class NoOpAsgi:
    """An ASGI application that only reads and answers."""

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            await _lifespan(receive, send)
            return
        while (await receive()).get("more_body"):
            continue
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ANSWER})


async def _lifespan(receive, send):
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return


class NoOp:
    """The deployment around it."""

    def __serve_build_asgi_app__(self):
        return NoOpAsgi()


def build(args):
    """An application with one replica."""
    return (
        serve.deployment(serve.ingress()(NoOp))
        .options(
            max_ongoing_requests=4096,
            ray_actor_options={"num_cpus": 0.1},
            logging_config={"enable_access_log": False},
        )
        .bind()
    )
