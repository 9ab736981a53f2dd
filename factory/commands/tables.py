"""The tables that people read: files, sizes with their arithmetic, proofs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO, TextIO, cast

from rich.console import Console
from rich.table import Table
from rich.text import Text

from factory.records import DiskPlan, DiskSize, ModelFiles, Report, Term
from factory.wording import count_text, seconds_text, size_text

VERDICTS = {"fine": "green", "warning": "yellow", "error": "red", "ok": "green", "skipped": "yellow"}


def print_files(models: Sequence[ModelFiles]) -> None:
    """Print every file of every model, largest first, and the total."""
    console = open_console()
    for model in models:
        console.print(_heading(model))
        grid = new_grid("right", "left", "left")
        for file in sorted(model.files, key=lambda f: -f.size_bytes):
            grid.add_row(f"{file.size_bytes:,}", file.path, Text(file.digest[:19] + "…", "dim"))
        console.print(grid)
        console.print(_total(model))


def print_plan(name: str, models: Sequence[ModelFiles], plan: DiskPlan) -> None:
    """Print what the recipe needs, and the arithmetic that says so."""
    console = open_console()
    console.print(Text(name, "bold"))
    for model in models:
        console.print(_heading(model))
        console.print(_total(model))
    console.print()
    console.print(_disk("Container disk", plan.container))
    console.print()
    console.print(_disk("Network volume", plan.volume) if plan.volume else Text("Network volume  none", "bold"))
    if plan.fits:
        console.print()
        console.print(Text("GPU memory", "bold"))
        grid = new_grid("left", "left", "left")
        for fit in plan.fits:
            grid.add_row(f"  {fit.pool}", Text(fit.verdict, VERDICTS[fit.verdict]), fit.sentence)
        console.print(grid)


def print_report(report: Report, plan: DiskPlan) -> None:
    """Print what verify proved, and the container disk that follows from it."""
    console = open_console()
    console.print(Text(report.image.reference, "bold"))
    grid = new_grid("left", "left", "left")
    for check in report.checks:
        grid.add_row(f"  {check.name}", Text(check.verdict, VERDICTS[check.verdict]), check.detail)
    for answer in report.answers:
        grid.add_row(f"  job {answer.name}", Text("ok", "green"), f"answered in {seconds_text(answer.duration_s)}")
    console.print(grid)
    if report.phases:
        phases = ", ".join(f"{name} {seconds_text(took)}" for name, took in report.phases.items())
        console.print(f"  start-up   {phases}")
    size = report.size
    console.print(
        f"  size       {size_text(size.compressed_bytes)} compressed, {size_text(size.unpacked_bytes)} unpacked"
    )
    console.print(
        f"  container disk {plan.container.size_gb} GB ({'exact' if plan.container.is_exact else 'estimate'})"
    )


def _heading(model: ModelFiles) -> Text:
    gated = "" if model.gated == "no" else f", gated ({model.gated})"
    licence = f", {model.licence}" if model.licence else ""
    return Text.assemble(f"  {model.repo}", (f" @ {model.commit[:12]}{licence}{gated}", "dim"))


def _total(model: ModelFiles) -> Text:
    place = {
        "volume": "on the volume",
        "image": "in the image",
        "disk": "on the container disk",
        "cached": "cached by RunPod",
    }
    rest = model.repo_bytes - model.size_bytes
    left = f"; {size_text(rest)} of the repository not selected" if rest > 0 else ""
    twice = model.size_bytes - model.unique_bytes
    same = f", {size_text(twice)} of them twice" if twice else ""
    files = count_text(len(model.files), "file")
    return Text.assemble(
        (f"  {size_text(model.size_bytes)}", "bold"), f" in {files}{same}, {place[model.placement]}{left}"
    )


def _disk(title: str, disk: DiskSize) -> Table:
    grid = new_grid("left", "right", "left")
    kind = "given in the recipe" if disk.is_explicit else "the larger of the two, rounded up"
    state = "exact" if disk.is_exact else "estimate: the image is not built yet"
    grid.add_row(Text(title, "bold"), Text(f"{disk.size_gb} GB", "bold"), Text(f"{kind} ({state})", "dim"))
    _sum(grid, "rule of thumb", disk.rule)
    _sum(grid, "floor", disk.floor)
    return grid


def _sum(grid: Table, name: str, terms: Sequence[Term]) -> None:
    if not terms:
        return
    grid.add_row(f"  {name}", Text(size_text(sum(term.size_bytes for term in terms))), "")
    for term in terms:
        grid.add_row(Text(f"    {term.label}", "dim"), Text(size_text(term.size_bytes), "dim"), Text(term.note, "dim"))


def new_grid(*justifications: str) -> Table:
    """Return a table without lines, two blanks between its columns."""
    grid = Table.grid(padding=(0, 2))
    for justify in justifications:
        grid.add_column(justify="right" if justify == "right" else "left", overflow="fold")
    return grid


class _Trimmed:
    """A stream, line by line, without the blanks that rich pads columns with."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write("\n".join(line.rstrip() for line in text.split("\n")))
        return len(text)

    def flush(self) -> None:
        self._stream.flush()


def open_console(stream: TextIO | None = None) -> Console:
    """Return a console on stdout or another stream: as wide as the terminal, or so wide that pipes get whole lines."""
    out = stream or sys.stdout
    if out.isatty():
        return Console(file=out, highlight=False)
    return Console(file=cast(IO[str], _Trimmed(out)), width=160, highlight=False)
