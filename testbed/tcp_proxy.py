"""A TCP proxy before a broker, cache or database: slow, sliced, silent or reset connections.

It runs on a loop and thread of its own. What is set holds for connections that are there and for later ones.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from types import TracebackType

READ_BYTES = 65_536
START_S_MAX = 10.0
_RESET = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 s: close sends RST


class TcpProxy:
    """Listens on `port` of 127.0.0.1 and passes everything to `target_port`."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        self.port = 0
        self.latency_s = 0.0
        self.slice_bytes = 0  # pieces of so many bytes, each a write of its own
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._pumps: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tcp proxy", daemon=True)

    def __enter__(self) -> TcpProxy:
        self._thread.start()
        if not self._ready.wait(START_S_MAX):
            raise RuntimeError("the proxy did not start")
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(START_S_MAX)

    def blackhole(self) -> None:
        """Connections stay open and nothing passes."""
        self._call(self._passing.clear)

    def heal(self) -> None:
        """Everything passes at once again."""
        self.latency_s, self.slice_bytes = 0.0, 0
        self._call(self._passing.set)

    def reset(self) -> None:
        """Every connection ends with RST."""
        self._call(self._reset_all)

    def _call(self, function: object) -> None:
        done = threading.Event()

        def run() -> None:
            function()  # type: ignore[operator]
            done.set()

        self._loop.call_soon_threadsafe(run)
        done.wait(START_S_MAX)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        self._stop, self._passing = asyncio.Event(), asyncio.Event()
        self._passing.set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        self._reset_all()
        for task in self._pumps:
            task.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            self._open.add(sink)
            task = asyncio.create_task(self._pump(source, sink))
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        try:
            while data := await source.read(READ_BYTES):
                await self._passing.wait()
                if self.latency_s:
                    await asyncio.sleep(self.latency_s)
                step = self.slice_bytes or len(data)
                for at in range(0, len(data), step):
                    sink.write(data[at : at + step])
                    await sink.drain()
        except OSError:
            sink.transport.abort()
        finally:
            self._open.discard(sink)
            with contextlib.suppress(OSError, RuntimeError):
                sink.close()

    def _reset_all(self) -> None:
        for writer in list(self._open):
            raw: socket.socket | None = writer.get_extra_info("socket")
            if raw is not None:
                with contextlib.suppress(OSError):
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            writer.transport.abort()
