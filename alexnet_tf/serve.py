"""Serves a SavedModel with TensorFlow Serving's REST API, and a page to try photographs on.

python -m alexnet_tf.serve --saved_model=runs/shapes-tiny/saved_model
then open http://127.0.0.1:8501 in a browser, or
python -m alexnet_tf.client --server=http://127.0.0.1:8501 PHOTO.jpg

The server is for trying a model on one machine: it has neither encryption nor log-in.
Needs `pip install 'alexnet_tf[serve]'`.
"""

from __future__ import annotations

import contextlib
import gc
import os
import re

from absl import flags as absl_flags

from alexnet_tf import app, flags

_FLAGS = absl_flags.FLAGS


def main(argv: list[str]) -> int:
    """Serves until Ctrl-C; returns the exit code."""
    from alexnet_tf.system.errors import UserError

    try:
        from alexnet_tf.serving.server import LOOPBACK, Server
        from alexnet_tf.serving.web_server import listen, web_server
    except ModuleNotFoundError as error:
        raise UserError(
            f"The server needs the package {error.name}. Install it with: "
            "pip install 'alexnet_tf[serve]'"
        ) from None
    from alexnet_tf.serving.limits import Limits
    from alexnet_tf.serving.loaded_model import LoadedModel
    from alexnet_tf.serving.memory import keep_large_blocks_apart

    limits = Limits(
        max_images=_FLAGS.max_images,
        max_batch=_FLAGS.max_batch,
        max_request_bytes=int(_FLAGS.max_request_mb * 2**20),
        max_rate=_FLAGS.max_rate,
        timeout=_FLAGS.timeout,
    )
    hosts = _FLAGS.allowed_hosts or (list(LOOPBACK) if _FLAGS.host in LOOPBACK else ["*"])
    keep_large_blocks_apart()
    # An address in use is reported at once, before the seconds that loading takes.
    with contextlib.closing(listen(_FLAGS.host, _FLAGS.port)) as listener:
        model = LoadedModel(_FLAGS.saved_model, _FLAGS.trust_model)
        model.warm_up()
        gc.freeze()  # the collector need not look at what stays
        server = Server(model, _FLAGS.name, limits, hosts)
        host = f"[{_FLAGS.host}]" if ":" in _FLAGS.host else _FLAGS.host
        url = f"http://{host}:{listener.getsockname()[1]}"
        print(
            f"Serving {model.path} as {_FLAGS.name}, version {model.version}\n"
            f"page  {url}/\n"
            f"REST  {url}/v1/models/{_FLAGS.name}:predict",
            flush=True,
        )
        web_server(server.app, _FLAGS.timeout).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    absl_flags.DEFINE_string(
        "saved_model", None, "directory that alexnet_tf.export wrote; of several versions, the "
        "newest is served", required=True,
    )  # fmt: skip
    flags.define_trust_model()
    absl_flags.DEFINE_string("name", "alexnet", "name of the model in URLs")
    absl_flags.register_validator(
        "name", lambda name: re.fullmatch(r"[\w.-]+", name), "must be letters, digits, _ . -"
    )
    absl_flags.DEFINE_string(
        "host", "127.0.0.1", "address to listen on; 0.0.0.0 allows other machines"
    )
    absl_flags.DEFINE_list(
        "allowed_hosts", None, "host names that requests may address; default: any, but on a "
        "loopback address only localhost",
    )  # fmt: skip
    absl_flags.DEFINE_integer(
        "port", 8501, "port to listen on; 0: any free port", lower_bound=0, upper_bound=65535
    )
    absl_flags.DEFINE_integer(
        "max_batch", 32, "images of several requests that are computed together", lower_bound=1
    )
    absl_flags.DEFINE_integer("max_images", 64, "images per request", lower_bound=1)
    absl_flags.DEFINE_float("max_request_mb", 16.0, "MiB per request", lower_bound=0.001)
    absl_flags.DEFINE_float(
        "max_rate", 50.0, "requests a second from one address; 0: any number", lower_bound=0
    )
    absl_flags.DEFINE_float(
        "timeout", 30.0, "seconds for a request to arrive, and to be answered", lower_bound=0.1
    )
    # By default TensorFlow keeps the memory of the largest images for ever. It reads this variable
    # when it is imported.
    os.environ.setdefault("TF_ONEDNN_USE_SYSTEM_ALLOCATOR", "1")
    app.run(main, flags_only=True)
