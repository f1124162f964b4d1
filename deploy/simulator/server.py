"""The server: listens, answers until it is told to stop, lets open answers end, and goes."""

import contextlib
import gc
import os
import resource
import signal
import socket
import sys
from time import monotonic_ns

from .answers import Answers
from .clocks import ArrivalClock, ask_for_instants
from .connection import Connection
from .engine import Engine
from .ledger import Ledger
from .line import Line, PlainLine
from .lobby import Lobby
from .routes import Routes
from .secure import SecureLine, server_context
from .settings import Settings
from .tally import Tally
from .timers import Timers
from .trace import Trace
from .watch import new_watch

DRAIN_S = 10.0
NS_PER_S = 1_000_000_000
BACKLOG = 65_535  # the kernel has a bound of its own
ACCEPTED_AT_ONCE = 16  # then tokens get a look
SPARE_NS = 100_000  # with so long until the next token there is time to count and trace a request
COLLECT_EACH_S = 10
SPIN_NS = 15_000  # a sleep and a wake cost more than that


class Server:
    """One process's loop over its sockets, its agenda and its timers."""

    def __init__(self, settings: Settings, listeners: list[socket.socket]) -> None:
        self._listeners = {listener.fileno(): listener for listener in listeners}
        self._tls = (
            server_context(settings.certfile, settings.keyfile)
            if settings.certfile and settings.keyfile
            else None
        )
        self._watch = new_watch()
        self._clock = ArrivalClock()
        self._timers = Timers()
        self._lobby = Lobby()
        self._trace = Trace(settings.trace)
        self._ledger = Ledger(Tally(settings.max_model_len), self._trace)
        self._engine = Engine(settings.law, settings.slots, self._ledger)
        routes = Routes(settings, self._ledger, self._engine)
        self._answers = Answers(
            settings.model, settings.form, settings.faults, routes, self._engine, self._ledger, self._timers
        )
        self._told, self._teller = socket.socketpair()
        self._stop_ns: int | None = None
        self._seconds = 0

    def run(self) -> int:
        """Serve until SIGTERM or SIGINT; returns the exit status."""
        self._listen_to_signals()
        for fd in (*self._listeners, self._told.fileno()):
            self._watch.add(fd)
        self._each_second()
        gc.collect()
        gc.freeze()  # what lives as long as the server need not be walked
        gc.disable()  # requests leave no circles behind; what others make is looked for in idle moments
        while self._stop_ns is None or (self._lobby.present and monotonic_ns() < self._stop_ns):
            self._turn()
        self._end()
        return 0

    def _turn(self) -> None:
        wait_ns = self._spare_ns()
        if self._ledger.backlog and (wait_ns is None or wait_ns > SPARE_NS):
            self._ledger.work()
            wait_ns = 0
        for fd, events in self._watch.wait(wait_ns):
            connection = self._lobby.present.get(fd)
            if connection is not None:
                try:
                    connection.ready(events)
                except Exception:
                    connection.mishap()
            elif fd in self._listeners:
                self._accept(self._listeners[fd])
            elif fd == self._told.fileno():
                self._begin_to_stop()
        self._timers.run()
        self._engine.deliver()
        while self._lobby.called:
            connection = self._lobby.next()
            try:
                connection.advance()
            except Exception:
                connection.mishap()
            self._engine.deliver()

    def _spare_ns(self) -> int | None:
        """How long nothing is due; None for ever, 0 when that is too short to sleep."""
        if self._lobby.called:
            return 0
        token_ns, timer_ns = self._engine.next_ns, self._timers.next_ns
        if token_ns is None or (timer_ns is not None and timer_ns < token_ns):
            token_ns = timer_ns
        if token_ns is None:
            return None
        spare_ns = token_ns - monotonic_ns()
        if 0 < spare_ns < SPIN_NS:
            while monotonic_ns() < token_ns:
                pass
            return 0
        return max(spare_ns, 0)

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTED_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except OSError:  # nobody is there any more, or there is no descriptor left for them
                return
            plain = PlainLine(accepted, self._watch)
            line: Line = SecureLine(plain, self._tls) if self._tls else plain
            Connection(line, self._watch, self._lobby, self._answers, self._clock)

    def _each_second(self) -> None:
        self._timers.at(monotonic_ns() + NS_PER_S, self._each_second)
        self._clock.sample()
        self._lobby.sweep()
        self._seconds += 1
        if self._seconds % COLLECT_EACH_S == 0 and not self._engine.running:
            gc.collect()

    def _listen_to_signals(self) -> None:
        self._told.setblocking(False)
        self._teller.setblocking(False)
        signal.set_wakeup_fd(self._teller.fileno(), warn_on_full_buffer=False)
        for signum in (signal.SIGTERM, signal.SIGINT):
            signal.signal(signum, lambda *_: None)  # the byte that comes with it is what is acted on

    def _begin_to_stop(self) -> None:
        """Take no new connections, and let answers that have begun end, for at most DRAIN_S."""
        with contextlib.suppress(BlockingIOError):
            self._told.recv(64)
        if self._stop_ns is not None:
            return
        self._stop_ns = monotonic_ns() + int(DRAIN_S * NS_PER_S)
        for fd, listener in self._listeners.items():
            self._watch.drop(fd)
            listener.close()
        self._listeners.clear()
        for connection in [*self._lobby.present.values()]:
            connection.retire()

    def _end(self) -> None:
        """Cut what is still open, and say how many."""
        if self._lobby.present:
            open_still = len(self._lobby.present)
            print(f"after {DRAIN_S:g} s {open_still} answers were still open: cut", file=sys.stderr)
        for connection in [*self._lobby.present.values()]:
            connection.reset()
        self._ledger.settle()
        self._trace.close()
        signal.set_wakeup_fd(-1)
        self._told.close()
        self._teller.close()
        self._watch.close()


def serve(settings: Settings) -> int:
    """Serve until told to stop; returns the exit status: 0, or 1 when the address cannot be had."""
    raise_file_limit()
    try:
        listeners = listen(settings.host, settings.port)
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        seen = os.strerror(error.errno) if error.errno and error.errno > 0 else error
        hint = "try --port 0, or stop what has it"
        print(f"expected {where} to be free; seen: {seen}; {hint}", file=sys.stderr)
        return 1
    try:
        server = Server(settings, listeners)
    except OSError as error:  # of TLS, and of the trace's file
        print(f"expected files that can be used; seen: {error}; see --help", file=sys.stderr)
        return 1
    port = listeners[0].getsockname()[1]
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    scheme = "https" if settings.certfile else "http"
    print(f"vllm-slo-simulator: {settings.model} on {scheme}://{host}:{port}", flush=True)
    return server.run()


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on all addresses of `host`, on one port; raises OSError."""
    listeners: list[socket.socket] = []
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            listener = socket.socket(family, kind, protocol)
            listeners.append(listener)
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            listener.bind((address[0], port, *address[2:]))
            port = listener.getsockname()[1]
            ask_for_instants(listener)
            listener.setblocking(False)
            listener.listen(BACKLOG)
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def raise_file_limit() -> None:
    """A descriptor a connection: as many as this process may have."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):  # macOS: what it names as the bound can be beyond it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
