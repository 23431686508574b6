"""Work in which some pictures are deadly; a module, as the pool's processes have to import it."""

import os
import time
from multiprocessing import connection

from alexnet_tf.preparation.chunks import Chunk, ChunkResult, _read, prepare_chunk
from alexnet_tf.preparation.sources import Place

DEADLY, ENDLESS = b"deadly", b"endless"
DEADLY_FILE = b"deadly file"


def work(chunk: Chunk) -> ChunkResult:
    """As `prepare_chunk`; it must look at each picture when its turn comes, as that does."""
    if DEADLY in chunk.pictures or any(map(_is_deadly_file, chunk.pictures)):
        os._exit(139)
    if ENDLESS in chunk.pictures:
        time.sleep(3600)
    return prepare_chunk(chunk)


def die(chunk: Chunk) -> ChunkResult:
    """Whatever there is to do."""
    os._exit(139)


def stop_in_mid_sentence(chunk: Chunk) -> ChunkResult:
    """Sends the first half of a result, and never the rest."""

    def send(self, buffer, write=os.write) -> None:
        write(self._handle, bytes(buffer)[: len(buffer) // 2])
        time.sleep(3600)

    connection.Connection._send = send
    return prepare_chunk(chunk)


def _is_deadly_file(picture: bytes | Place) -> bool:
    return isinstance(picture, Place) and _read(picture) == DEADLY_FILE
