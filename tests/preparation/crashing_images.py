"""Work in which some images are deadly; a module, as the pool's processes have to import it."""

import os
import time
from multiprocessing import connection

from alexnet_tf.preparation.shards import make_shard, read_image

DEADLY, ENDLESS = b"deadly", b"endless"  # the content of such files


def work(task, on_image, threads):
    """As `make_shard`, which calls `on_image` when an image's turn comes."""

    def look(number):
        on_image(number)
        if number < len(task.examples):
            content = read_image(task.examples[number].image)
            if content == DEADLY:
                os._exit(139)
            if content == ENDLESS:
                time.sleep(3600)

    return make_shard(task, look, threads)


def die(task, on_image, threads):
    """Whatever there is to do, at the first image."""
    os._exit(139)


def die_at_every_image(task, on_image, threads):
    """As where there is no memory for any."""

    def die(number):
        on_image(number)
        os._exit(139)

    return make_shard(task, die, threads)


def die_while_writing(task, on_image, threads):
    """Once all images are prepared."""
    on_image(len(task.examples))
    os._exit(139)


def stop_in_mid_sentence(task, on_image, threads):
    """Sends the first half of a result, and never the rest."""

    def send(self, buffer, write=os.write) -> None:
        write(self._handle, bytes(buffer)[: len(buffer) // 2])
        time.sleep(3600)

    connection.Connection._send = send
    return make_shard(task, on_image, threads)


def need_memory(task, on_image, threads):
    """More than there is."""
    raise MemoryError


def fail(task, on_image, threads):
    """By a mistake in the code."""
    return 1 / 0
