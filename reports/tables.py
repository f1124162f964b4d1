"""Tables: a run's files as pandas frames and as Parquet; units and dtypes are told in README.md beside this.

pandas and pyarrow are imported when a table is made and not before: `import reports` stays cheap.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instruments.clock import ClockAnchor
from instruments.errors import ConfigurationError
from instruments.frames import request_frame, token_frame, zero_ns
from instruments.journal import load_run as read_journal
from instruments.journal import whole_run
from instruments.records import LoadRun
from instruments.statistics import RunSummary, summarize

if TYPE_CHECKING:
    import pandas as pd

    from reports.loads import Load

LOADS = {
    "load": "string", "journal": "string", "workload": "string", "due": "Int64", "completed": "Int64",
    "errors": "Int64", "duration_s": "float64", "offered_per_s": "float64", "achieved_per_s": "float64",
    "completed_per_s": "float64", "output_tokens_per_s": "float64", "send_lag_p99_s": "float64",
    "complete": "boolean", "stopped_because": "string", "void": "string", "simulated": "boolean",
}  # fmt: skip
OBJECTIVES = {
    "id": "string", "load": "string", "workload": "string", "indicator": "string", "statistic": "string",
    "at_most": "float64", "at_least": "float64", "state": "string", "reason": "string", "value": "float64",
    "low": "float64", "high": "float64", "headroom": "float64", "requests": "Int64", "bad": "Int64",
    "requests_effective": "float64", "requests_more": "Int64", "trimmed": "Int64", "confidence": "float64",
    "required": "boolean", "family": "string", "family_size": "Int64", "test": "string", "claim": "string",
    "problem": "string", "description": "string", "simulated": "boolean",
}  # fmt: skip
CLAIMS = {
    "nodeid": "string", "title": "string", "suite": "string", "outcome": "string", "duration_s": "float64",
    "reason": "string", "detail": "string", "markers": "string",
}  # fmt: skip
LAWS = {
    "law": "string", "load": "string", "state": "string", "reason": "string", "expected": "string",
    "seen": "string", "value": "float64", "statement": "string", "required": "boolean", "claim": "string",
    "problem": "string",
}  # fmt: skip
SERVER = {"load": "category", "series": "category", "at_s": "float64", "value": "float64"}


@dataclass(frozen=True, slots=True, eq=False)
class RunTables:
    """A run as frames. Times in seconds, shares 0 to 1; what is undefined is missing, never 0."""

    run_id: str | None  # None of a journal by itself
    state: str | None  # what the run comes to, as its page has it
    problems: tuple[str, ...]  # reasons to doubt it, in words
    loads: pd.DataFrame = field(repr=False)
    requests: pd.DataFrame = field(repr=False)
    objectives: pd.DataFrame = field(repr=False)
    claims: pd.DataFrame = field(repr=False)
    laws: pd.DataFrame = field(repr=False)
    server: pd.DataFrame = field(repr=False)
    _runs: Mapping[str, LoadRun] = field(repr=False)

    def tokens(self, *loads: str) -> pd.DataFrame:
        """One row a token of these loads, or of all: made anew each time, for it may have millions of rows.

        `instruments.frames.token_frame` tells its columns; `load` comes before them.
        """
        import pandas as pd
        from pandas.api.types import union_categoricals

        if unknown := [name for name in loads if name not in self._runs]:
            raise ConfigurationError(
                f"there is no load {', '.join(unknown)}",
                expected=f"one of {', '.join(self._runs)}" if self._runs else "a run with a load",
            )
        names = [name for name in self._runs if not loads or name in loads]
        frames = [token_frame(self._runs[name]) for name in names] or [token_frame(_NOTHING)]
        ids = union_categoricals([frame.pop("request_id") for frame in frames])
        tokens = pd.concat(frames, ignore_index=True)
        tokens.insert(0, "load", _each(names, frames))
        tokens.insert(1, "request_id", pd.Series(ids))
        return tokens


def load_run(path: Path | str) -> RunTables:
    """The frames of a run's folder, or of one journal (`NAME.jsonl`, however many processes wrote it).

    Objectives and laws are judged again from the journals, as on the page. JournalError where the path is
    neither; a journal of the folder that cannot be read is left out, and told in `problems`.
    """
    path = Path(path)
    return _of_folder(path) if path.is_dir() else _of_journal(whole_run(path))


def records_parquet(run: LoadRun, *, chunks: bool = True) -> bytes:
    """One row a request, as a Parquet file: `request_id`, `request_frame`'s columns and two lists.

    `pandas.read_parquet` gives the frame back with its dtypes; what is undefined is null. `chunks_ns` lists
    the arrivals of an answer's chunks in whole nanoseconds since the zero from which the other columns count,
    `chunk_tokens` the tokens of each (null where the server did not tell): about 5 bytes a chunk, and without
    `chunks` left out. The file's own metadata has, under `vllm_slo`, the run's name, description, window and
    anchor as JSON.
    """
    import pyarrow as pa  # type: ignore[import-untyped]
    import pyarrow.parquet as pq  # type: ignore[import-untyped]

    table = pa.Table.from_pandas(request_frame(run).reset_index(), preserve_index=False)
    if chunks:
        for name, column in zip(_LISTS, _lists(run), strict=True):
            table = table.append_column(name, column)
    told = {
        "name": run.name,
        "description": dict(run.description),
        "window": asdict(run.window) if run.window else None,
        "anchor": asdict(run.anchor),
    }
    metadata = {**(table.schema.metadata or {}), b"vllm_slo": json.dumps(told).encode()}
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata(metadata),
        buffer,
        compression="zstd",
        use_dictionary=[name for name in table.column_names if name != _LISTS[0]],
        # Arrivals rise by about as much each time: their differences take half the room.
        column_encoding={f"{_LISTS[0]}.list.element": "DELTA_BINARY_PACKED"} if chunks else None,
    )
    return buffer.getvalue()


def _lists(run: LoadRun) -> tuple[Any, Any]:
    """The columns of lists, as pyarrow's arrays."""
    import pyarrow as pa

    from instruments.statistics.pooled import arrivals

    at_ns, offsets = arrivals(run.records)
    tokens = pa.array([one.chunk_tokens for one in run.records], type=pa.list_(pa.int32()))
    return pa.ListArray.from_arrays(offsets.astype("int32"), at_ns - zero_ns(run)), tokens


def _of_folder(path: Path) -> RunTables:
    from reports.document import verdict_document
    from reports.model import read_report

    report = read_report(path)
    told = verdict_document(report)
    loads = {Path(load.journal).stem: load for load in report.loads}
    objectives = [{**one, "load": Path(one["journal"] or "").stem or None} for one in told["objectives"]]
    return RunTables(
        run_id=report.session.run_id,
        state=str(report.state),
        problems=report.problems,
        loads=_frame((_of_load(one.run, one.journal, one.summary) for one in report.loads), LOADS),
        requests=_requests({name: load.run for name, load in loads.items()}),
        objectives=_frame(objectives, OBJECTIVES),
        claims=_frame(({**asdict(one), "markers": ", ".join(one.markers)} for one in report.claims), CLAIMS),
        laws=_frame(told["laws"], LAWS),
        server=_server(loads),
        _runs={name: load.run for name, load in loads.items()},
    )


def _of_journal(path: Path) -> RunTables:
    run, name = read_journal(path), path.stem
    return RunTables(
        run_id=None,
        state=None,
        problems=run.problems,
        loads=_frame([_of_load(run, str(path), summarize(run))], LOADS),
        requests=_requests({name: run}),
        objectives=_frame([], OBJECTIVES),
        claims=_frame([], CLAIMS),
        laws=_frame([], LAWS),
        server=_server({}),
        _runs={name: run},
    )


def _frame(lines: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> pd.DataFrame:
    """One row a line, of these columns and dtypes."""
    import pandas as pd

    rows = tuple(lines)
    return pd.DataFrame(
        {name: pd.Series([row.get(name) for row in rows], dtype=dtype) for name, dtype in columns.items()}
    )


def _of_load(run: LoadRun, journal: str, summary: RunSummary) -> dict[str, Any]:
    """One load as a line; figures are those of its summary."""
    figures = ("due", "completed", "errors", "duration_s", "complete", "stopped_because", "send_lag_p99_s")
    rates = ("offered_per_s", "achieved_per_s", "completed_per_s", "output_tokens_per_s")
    return {
        "load": Path(journal).stem,
        "journal": journal,
        "workload": (run.description.get("workload") or {}).get("id"),
        "simulated": run.description.get("simulated"),
        "void": "; ".join(summary.void) or None,
        **{name: getattr(summary, name) for name in (*figures, *rates)},
    }


def _requests(runs: Mapping[str, LoadRun]) -> pd.DataFrame:
    """`request_frame` of every load, one after the other, `load` before its columns."""
    import pandas as pd

    frames = [request_frame(run).reset_index() for run in (*runs.values(), _NOTHING)]
    requests = pd.concat(frames, ignore_index=True)
    requests.insert(0, "load", _each(runs, frames))
    return requests


def _server(loads: Mapping[str, Load]) -> pd.DataFrame:
    """One row a sample of a gauge. `at_s` counts from the load's window, as the requests' instants do."""
    import pandas as pd

    lines = [
        {"load": name, "series": series, "at": at_s, "at_s": at_s - begun_s, "value": value}
        for name, load in loads.items()
        if load.summary.server is not None
        for begun_s in [load.run.anchor.unix_s(zero_ns(load.run))]
        for series, samples in sorted(load.summary.server.series.items())
        for at_s, value in zip(samples.at_s, samples.values, strict=True)
    ]
    frame = _frame(lines, SERVER)
    at = pd.to_datetime(pd.Series([line["at"] for line in lines], dtype="float64"), unit="s", utc=True)
    frame.insert(2, "at", at.dt.as_unit("ns"))
    return frame


def _each(names: Iterable[str], frames: Iterable[pd.DataFrame]) -> pd.Series[str]:
    """The name of each frame, as often as it has rows."""
    import numpy as np
    import pandas as pd

    sizes, known = [len(frame) for frame in frames], list(names)
    codes = np.repeat(np.arange(len(known)), sizes[: len(known)])
    return pd.Series(pd.Categorical.from_codes(codes, categories=pd.Index(known, dtype="string")))


_NOTHING = LoadRun("", {}, ClockAnchor(0, 0), ())
_LISTS = ("chunks_ns", "chunk_tokens")
