"""An S3 of our own: moto's server, which can go away and come back with what it held."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import obstore
import pytest

from engine.recordings.away import s3_store

BUCKET = "recordings"
KEY = "test"
PREFIX = "dozvon"


class Server:
    """It answers as soon as it is made. Without moto the test is skipped."""

    def __init__(self) -> None:
        self._begin("127.0.0.1", 0)
        self.host, self.port = self._server.get_host_and_port()
        self.url = f"http://{self.host}:{self.port}"
        urllib.request.urlopen(urllib.request.Request(f"{self.url}/{BUCKET}", method="PUT")).close()

    def stop(self) -> None:
        self._server.stop()

    def start(self) -> None:
        self._begin(self.host, self.port)

    def _begin(self, host: str, port: int) -> None:
        self._server = pytest.importorskip("moto.server").ThreadedMotoServer(host, port, verbose=False)
        self._server.start()

    def store(self) -> obstore.store.S3Store:
        return s3_store(BUCKET, endpoint=self.url, access_key=KEY, secret_key=KEY, prefix=PREFIX, seconds=3.0)

    def names(self) -> list[str]:
        return sorted(Path(path).name for path in self.paths())

    def paths(self) -> list[str]:
        return [str(entry["path"]) for page in obstore.list(self.store()) for entry in page]


@contextmanager
def serving() -> Iterator[Server]:
    made = Server()
    yield made
    urllib.request.urlopen(urllib.request.Request(f"{made.url}/moto-api/reset", method="POST")).close()
    made.stop()
