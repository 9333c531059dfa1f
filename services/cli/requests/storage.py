"""The store: imports of files, and how much it holds."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fxmesh.pipeline.v1 import pipeline_pb2 as pipeline
from fxmesh.pipeline.v1 import service_pb2 as pb
from fxmesh.types.v1 import market_pb2 as types

from services.cli import inputs
from services.cli.link import Link
from services.cli.output import CliError, ExitCode
from services.cli.progress import Bar
from services.cli.render import Table, count, pairs, plain, sentence, word
from services.cli.requests.lines import rejected
from services.uploads import Announced


@dataclass(frozen=True, slots=True)
class ImportOrder:
    """An import as typed; empty texts were not given."""

    path: Path
    symbol: str = ""
    timeframe: str = ""
    format: str = ""
    strict: bool = False


async def import_file(link: Link, order: ImportOrder) -> None:
    """Raises CliError with the file's fault."""
    name = order.path.resolve().name
    with Bar(link.out.as_json) as bar, inputs.one_file(order.path) as path:
        bar.stage(f"sending {name}")
        announced = Announced.of(path)
        header = pb.ImportHeader(
            file_name=name,
            symbol=inputs.symbol(order.symbol),
            timeframe=inputs.timeframe(order.timeframe) if order.timeframe else types.TIMEFRAME_UNSPECIFIED,
            format=order.format,
            strict=order.strict,
            size_bytes=announced.size,
            sha256=announced.sha256,
        )

        def parts() -> Iterator[pb.ImportFileRequest]:
            yield pb.ImportFileRequest(header=header)
            sent = 0
            for piece in inputs.chunks(path):
                yield pb.ImportFileRequest(content=piece)
                sent += len(piece)
                bar.at(sent, announced.size)

        answer = await link.mutate(
            link.pipeline.ImportFile(parts()),
            "the file was imported",
            "Import it again: the same content is stored once.",
        )
        execution = await _follow(link, answer.execution, bar)
    document = {"execution": execution, "sourceId": answer.source_id}
    completed = execution.state == pipeline.EXECUTION_STATE_COMPLETED
    shown: list[Table | str] = [_about(execution, answer.source_id)]
    shown += [*rejected(execution.rejects, whole=completed), *damaged(execution.damage)]
    if completed:
        if not execution.rows_written:  # a file that gives no row at all fails
            shown.append("Its content was stored before, under the same source: nothing was added.")
        link.out.answer(document, *shown)
        return
    if not link.out.as_json:
        link.out.answer({}, *shown)
    raise CliError(
        execution.failure_reason,
        sentence(f"The import failed: {execution.failure}"),
        "" if not order.strict else "Without --strict bad lines are left out and counted.",
        ExitCode.FAILED,
        plain(document),
    )


async def storage(link: Link, source_id: str) -> None:
    answer = await link.pipeline.GetStorageReport(pb.GetStorageReportRequest(source_id=source_id))
    if source_id and not any(each.count for each in answer.counts):
        raise CliError(
            "NO_DATA",
            f"Nothing is stored of {source_id}.",
            "Sources are the ids of replays (`fxmesh replays`) and what `fxmesh import` gives.",
            ExitCode.REFUSED,
        )
    rows = [(each.name, count(each.count)) for each in answer.counts]
    link.out.answer(
        answer,
        Table(("STORED", "COUNT"), rows, right=("COUNT",), empty="Nothing is stored yet."),
        f"{answer.bytes / 1e6:,.1f} MB on disk",
    )


async def _follow(link: Link, execution: pipeline.PipelineExecution, bar: Bar) -> pipeline.PipelineExecution:
    bar.stage(f"storing {execution.subject}")
    request = pb.StreamPipelineExecutionRequest(execution_id=execution.execution_id)
    async for answer in link.follow(lambda: link.pipeline.StreamPipelineExecution(request)):
        execution = answer.execution
        bar.at(execution.progress, execution.progress_total, f"{count(execution.rows_written)} rows")
    return execution


def damaged(damage: str) -> list[str]:
    """What to say of a file that could not be read to its end."""
    return [f"The file is damaged, and what follows in it is missing. {damage}."] if damage else []


def _about(execution: pipeline.PipelineExecution, source_id: str) -> Table:
    return pairs(
        [
            ("import", execution.subject),
            ("state", word(execution, "state")),
            ("rows read", count(execution.rows_read)),
            ("rows stored", count(execution.rows_written)),
            ("source", source_id),
            ("execution", execution.execution_id),
        ]
    )
