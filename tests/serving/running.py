"""A web server in a thread of the test's process, which starts at once."""

import contextlib
import threading

from alexnet_tf.serving.server import Server
from alexnet_tf.serving.web_server import listen, web_server
from tools.server_process import Served


class Running(Served):
    """A running server; `uvicorn` is its `uvicorn.Server`."""

    def __init__(self, uvicorn, host, port):
        super().__init__(None, host, port)
        self.uvicorn = uvicorn


@contextlib.contextmanager
def running(app, timeout):
    listener = listen("127.0.0.1", 0)
    server = web_server(app, timeout)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Running(server, *listener.getsockname())
    finally:
        server.should_exit = True
        thread.join()


def running_model(model, limits):
    return running(Server(model, "alexnet", limits, ["*"]).app, limits.timeout)
