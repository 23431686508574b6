"""Serves a SavedModel as TensorFlow Serving does, with a page to try photographs on.

python -m alexnet_tf.serve --saved_model=runs/shapes-tiny/saved_model
then open http://127.0.0.1:8501 in a browser, or
python -m alexnet_tf.client --server=http://127.0.0.1:8501 PHOTO.jpg

It is for one machine and for trying things: nothing is encrypted and nobody has to log in.
Needs `pip install '.[serve]'`.
"""

from __future__ import annotations

import contextlib
import re
import socket

from absl import flags as absl_flags

from alexnet_tf import app

_FLAGS = absl_flags.FLAGS
_CONNECTIONS = 800  # at the same time; a process may usually open 1,024 files
_BACKLOG = 512  # connections that wait to be accepted
_PATIENCE = 5  # seconds, after Ctrl-C, for requests that are being answered
_LOOPBACK = ("localhost", "127.0.0.1", "::1", "[::1]")


def main(argv: list[str]) -> int:
    """Serves until it is told to stop; returns the exit code."""
    from alexnet_tf.system.errors import UserError

    if argv:
        raise UserError(f"Expected flags only. Received: {argv[0]}")
    try:
        import uvicorn

        from alexnet_tf.serving.middleware import impatient
        from alexnet_tf.serving.server import Server
    except ModuleNotFoundError as error:
        raise UserError(
            f"Expected the extra `serve` (pip install '.[serve]'). Received: no {error.name}"
        ) from None
    from alexnet_tf.serving.limits import Limits
    from alexnet_tf.serving.loaded_model import LoadedModel

    limits = Limits(
        images=_FLAGS.max_images,
        batch=_FLAGS.max_batch,
        request_bytes=int(_FLAGS.max_request_mb * 2**20),
        rate=_FLAGS.max_rate,
        seconds=_FLAGS.timeout,
    )
    listener = _listen(_FLAGS.host, _FLAGS.port)  # before the seconds that loading takes
    with contextlib.closing(listener):
        model = LoadedModel(_FLAGS.saved_model)
        model.warm_up()
        hosts = _FLAGS.allowed_hosts or (list(_LOOPBACK) if _FLAGS.host in _LOOPBACK else ["*"])
        server = Server(model, _FLAGS.name, limits, hosts)
        host = f"[{_FLAGS.host}]" if ":" in _FLAGS.host else _FLAGS.host
        print(
            f"Serving {model.path} as {_FLAGS.name}, version {model.version}\n"
            f"page  http://{host}:{listener.getsockname()[1]}/\n"
            f"REST  http://{host}:{listener.getsockname()[1]}/v1/models/{_FLAGS.name}:predict",
            flush=True,
        )
        config = uvicorn.Config(
            server.app,
            log_level="error",
            server_header=False,
            proxy_headers=False,  # else anyone could claim another address, for the rate limit
            timeout_graceful_shutdown=_PATIENCE,
            limit_concurrency=_CONNECTIONS,
            http=impatient(_FLAGS.timeout),
            ws="none",
            lifespan="off",  # there is none; uvicorn prints a traceback of it at a second Ctrl-C
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0


def _listen(host: str, port: int) -> socket.socket:
    from alexnet_tf.system.errors import UserError

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise UserError(
            f"Expected --host and --port that can be listened on. Received: {host}:{port} "
            f"({error.strerror})"
        ) from None
    return listener


if __name__ == "__main__":
    absl_flags.DEFINE_string(
        "saved_model", None, "what alexnet_tf.export wrote, or the newest in it", required=True
    )
    absl_flags.DEFINE_string("name", "alexnet", "of the model in addresses")
    absl_flags.register_validator(
        "name", lambda name: re.fullmatch(r"[\w.-]+", name), "must be letters, digits, _ . -"
    )
    absl_flags.DEFINE_string("host", "127.0.0.1", "to listen on; 0.0.0.0 lets other machines in")
    absl_flags.DEFINE_list(
        "allowed_hosts", None, "names by which it may be addressed; default: any, but on loopback "
        "only localhost's",
    )  # fmt: skip
    absl_flags.DEFINE_integer("port", 8501, "0: any", lower_bound=0, upper_bound=65535)
    absl_flags.DEFINE_integer(
        "max_batch", 32, "images of several requests that are computed together", lower_bound=1
    )
    absl_flags.DEFINE_integer("max_images", 64, "of one request", lower_bound=1)
    absl_flags.DEFINE_float("max_request_mb", 16.0, "of one request", lower_bound=0.001)
    absl_flags.DEFINE_float(
        "max_rate", 50.0, "requests a second from one address; 0: any", lower_bound=0
    )
    absl_flags.DEFINE_float(
        "timeout", 30.0, "seconds for a request to arrive, and to be answered", lower_bound=0.1
    )
    app.run(main)
