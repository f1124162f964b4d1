"""Sampler: one thread that asks NVML at an interval, survives what fails, and keeps the last answers.

A thread and not the scrape asks, so that a driver that hangs holds up no scrape, and several Prometheus
servers cost the GPUs no more than one. What it last heard is served only while it is fresh.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from deploy.exporter.readings import PROBES, ProcessMemory, processes

WHOLE = ""  # gpu_id of an error that is no single GPU's


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `index` is NVML's, which CUDA_VISIBLE_DEVICES does not change."""

    index: int
    name: str
    uuid: str


@dataclass(frozen=True, slots=True)
class State:
    """What one GPU said. Not `up`: it did not answer at all, and there is nothing else."""

    gpu: Gpu
    up: bool
    values: Mapping[str, float] = field(default_factory=dict)
    processes: tuple[ProcessMemory, ...] = ()


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One round. `at_s` is the monotonic instant of its end; `driver` None: NVML cannot be used."""

    at_s: float
    driver: str | None = None
    states: tuple[State, ...] = ()
    errors: Mapping[tuple[str, str], int] = field(default_factory=dict)

    @property
    def up(self) -> bool:
        """Whether NVML works and every GPU that was ever seen answers."""
        return self.driver is not None and all(one.up for one in self.states)


Say = Callable[..., None]  # say(event, **facts)


class Sampler:
    """Asks every `every_s`; opens NVML again every `retry_every_s` while it or a GPU is gone."""

    def __init__(self, nvml: Any, say: Say, *, every_s: float, retry_every_s: float) -> None:
        self._nvml = nvml
        self._say = say
        self._every_s = every_s
        self._retry_every_s = retry_every_s
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="nvml", daemon=True)
        self._driver: str | None = None
        self._handles: dict[str, Any] = {}  # by UUID
        self._known: dict[str, Gpu] = {}  # every GPU ever seen: one that is gone is missed, not forgotten
        self._opened_s = 0.0
        self._errors: Counter[tuple[str, str]] = Counter()
        self._told: set[str] = set()
        self.latest = Snapshot(time.monotonic())

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def lives(self) -> bool:
        """Whether the thread is there; a mistake of ours ends it."""
        return self._thread.is_alive()

    def stop(self, bound_s: float) -> bool:
        """Ask the thread to end; whether it did. It cannot be made to leave a call that hangs."""
        self._stopping.set()
        self._thread.join(bound_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopping.is_set():
            began_s = time.monotonic()
            self.latest = self.sample()
            every_s = self._every_s if self._driver is not None else self._retry_every_s
            self._stopping.wait(max(0.0, began_s + every_s - time.monotonic()))
        self._close()

    def sample(self) -> Snapshot:
        """One round: what all GPUs say now."""
        if self._driver is None or self._due_again():
            self._open()
        states = [self._state(gpu) for gpu in sorted(self._known.values(), key=lambda one: one.index)]
        return Snapshot(time.monotonic(), self._driver, tuple(states), dict(self._errors))

    def _due_again(self) -> bool:
        missed = not self._handles.keys() >= self._known.keys()
        return missed and time.monotonic() >= self._opened_s + self._retry_every_s

    def _open(self) -> None:
        """Open NVML, anew if it was open: only so does it see a GPU that came back."""
        self._close()
        self._opened_s = time.monotonic()
        try:
            self._nvml.nvmlInit()
            driver = str(self._nvml.nvmlSystemGetDriverVersion())
            for index in range(self._nvml.nvmlDeviceGetCount()):
                self._meet(index)
        except self._nvml.NVMLError as error:
            self._failed(WHOLE, "init", error)
            self._close()
            return
        if not self._known:
            self._once("no_gpu", driver=driver)
        self._driver = driver

    def _meet(self, index: int) -> None:
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
            gpu = Gpu(
                index,
                str(self._nvml.nvmlDeviceGetName(handle)),
                str(self._nvml.nvmlDeviceGetUUID(handle)),
            )
        except self._nvml.NVMLError as error:
            self._failed(str(index), "device", error)
            return
        self._known[gpu.uuid] = gpu
        self._handles[gpu.uuid] = handle

    def _state(self, gpu: Gpu) -> State:
        handle = self._handles.get(gpu.uuid)
        if handle is None or self._driver is None:
            return State(gpu, up=False)
        values: dict[str, float] = {}
        found: tuple[ProcessMemory, ...] = ()
        try:
            for probe in PROBES:
                said = self._asked(gpu, probe.reading, probe.read, handle) or {}
                values |= {name: value for name, value in said.items() if value is not None}
            found = self._asked(gpu, "processes", processes, handle) or ()
        except self._gone as error:
            self._failed(str(gpu.index), "device", error)
            self._handles.pop(gpu.uuid, None)
            return State(gpu, up=False)
        except self._dead as error:
            self._failed(WHOLE, "library", error)
            self._close()
            return State(gpu, up=False)
        return State(gpu, up=True, values=values, processes=found)

    def _asked(self, gpu: Gpu, reading: str, read: Callable[[Any, Any], Any], handle: Any) -> Any:
        """The answer, or None where this GPU has none. Raises what is not about this one reading."""
        try:
            return read(self._nvml, handle)
        except self._absent:
            return None
        except (*self._gone, *self._dead):
            raise
        except self._nvml.NVMLError as error:
            self._failed(str(gpu.index), reading, error)
            return None

    def _failed(self, gpu_id: str, reading: str, error: Exception) -> None:
        self._errors[gpu_id, reading] += 1
        self._once("nvml_error", gpu_id=gpu_id, reading=reading, error=str(error))

    def _once(self, event: str, **facts: str) -> None:
        """Said once each: what stays wrong is in the counters, and is no reason to fill a disk."""
        line = f"{event} {facts}"
        if line not in self._told:
            self._told.add(line)
            self._say(event, **facts)

    def _close(self) -> None:
        was_open, self._driver = self._driver is not None, None
        self._handles.clear()
        if was_open:
            try:
                self._nvml.nvmlShutdown()
            except self._nvml.NVMLError as error:
                self._failed(WHOLE, "shutdown", error)

    @property
    def _absent(self) -> tuple[type[Exception], ...]:
        """This GPU, driver or user does not get this reading: no error, it is just not there."""
        nvml = self._nvml
        return (nvml.NVMLError_NotSupported, nvml.NVMLError_FunctionNotFound, nvml.NVMLError_NoPermission)

    @property
    def _gone(self) -> tuple[type[Exception], ...]:
        return (self._nvml.NVMLError_GpuIsLost, self._nvml.NVMLError_ResetRequired)

    @property
    def _dead(self) -> tuple[type[Exception], ...]:
        nvml = self._nvml
        return (
            nvml.NVMLError_Uninitialized,
            nvml.NVMLError_DriverNotLoaded,
            nvml.NVMLError_LibRmVersionMismatch,
        )
