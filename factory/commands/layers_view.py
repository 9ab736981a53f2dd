"""Images as `factory layers` shows them: a table for people, records for machines."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from factory.commands.output import as_plain, print_json
from factory.commands.tables import new_grid, open_console
from factory.layering.contents import ImageContents, LayerContents
from factory.layering.diet import Finding, largest
from factory.layering.looking import Look
from factory.layering.sharing import Sharing
from factory.wording import count_text, size_text

LARGEST = 10
SHOWN_LAYERS = 12


def show_json(looks: Sequence[Look], shared: Sharing | None) -> None:
    """Print one document: an entry per recipe, and what they share (null for one recipe)."""
    print_json({"recipes": [_record(look) for look in looks], "sharing": shared})


def print_looks(looks: Sequence[Look], shared: Sharing | None) -> None:
    """Print every image, and then what they share."""
    console = open_console()
    for look in looks:
        _print_look(console, look)
        console.print()
    if shared is not None:
        _print_sharing(console, shared)


# --- for machines ----------------------------------------------------------------------------------------------------
def _record(look: Look) -> dict[str, object]:
    image = look.image
    return {
        "recipe": look.recipe.name,
        "path": look.path,
        "reference": look.reference,
        "source": image.source if image else "estimate",
        "notes": look.notes,
        "layers": [_layer_record(layer) for layer in image.layers] if image else None,
        "parts": None if image else [as_plain(part) for part in look.parts],
        "largest": [
            {"path": entry.path, "size_bytes": entry.size_bytes, "layer": layer.step.name}
            for entry, layer in (largest(image, LARGEST) if image else ())
        ],
        "findings": [as_plain(finding) for finding in look.findings],
    }


def _layer_record(layer: LayerContents) -> dict[str, object]:
    return {
        "diff_id": layer.diff_id,
        "step": layer.step.name,
        "text": layer.step.text,
        "stored_bytes": layer.stored_bytes,
        "unpacked_bytes": layer.unpacked_bytes,
        "files": len(layer.entries),
        "note": layer.note,
    }


# --- for people ------------------------------------------------------------------------------------------------------
def _print_look(console: Console, look: Look) -> None:
    console.print(Text.assemble((look.recipe.name, "bold"), f"  {look.reference}"))
    for note in look.notes:
        console.print(Text(f"  {note}", "yellow"))
    if look.image is None:
        _print_parts(console, look)
    else:
        _print_layers(console, look.image)
        _print_largest(console, look.image)
    _print_findings(console, look.findings, is_read=look.image is not None)


def _print_parts(console: Console, look: Look) -> None:
    grid = new_grid("left", "right", "right", "left")
    grid.add_row(*_head("  part", "stored", "unpacked", ""))
    for part in look.parts:
        name = part.name if part.is_known else f"{part.name} (a guess)"
        grid.add_row(f"  {part.step}", size_text(part.compressed_bytes), size_text(part.unpacked_bytes), name)
    console.print(grid)


def _print_layers(console: Console, image: ImageContents) -> None:
    grid = new_grid("left", "right", "right", "right", "left")
    grid.add_row(*_head("  layer", "stored", "unpacked", "files", f"as the {image.source} has it"))
    small = [layer for layer in image.layers if layer.cost_bytes < 4096 and not layer.note]
    for layer in sorted(image.layers, key=lambda layer: -layer.cost_bytes):
        if layer not in small:
            stored = "" if layer.stored_bytes is None else size_text(layer.stored_bytes)
            unpacked = "" if layer.unpacked_bytes is None else size_text(layer.unpacked_bytes)
            text = f"{layer.step.text}; {layer.note}" if layer.note else layer.step.text
            grid.add_row(f"  {layer.step.name}", stored, unpacked, f"{len(layer.entries):,}", _cut(text))
    console.print(grid)
    if small:
        total = size_text(sum(layer.cost_bytes for layer in small))
        console.print(Text(f"  and {count_text(len(small), 'layer')} of {total} together", "dim"))


def _print_largest(console: Console, image: ImageContents) -> None:
    grid = new_grid("right", "left", "left")
    for entry, layer in largest(image, LARGEST):
        grid.add_row(f"  {size_text(entry.size_bytes)}", Text(layer.step.name, "dim"), _cut(f"/{entry.path}"))
    console.print(Text("  Largest files", "bold"))
    console.print(grid)


def _print_findings(console: Console, findings: Sequence[Finding], *, is_read: bool) -> None:
    if not findings:
        console.print(
            Text("  Nothing carried in vain" if is_read else "  Nothing to propose before it is built", "green")
        )
        return
    total = sum(finding.size_bytes for finding in findings if finding.is_certain)
    console.print(Text(f"  Could go: {size_text(total)} unpacked" if total else "  Could go, perhaps", "bold"))
    grid = new_grid("right", "left", "left")
    for finding in findings:
        maybe = "" if finding.is_certain else " (some need them)" if is_read else " (an estimate)"
        lines = Text.assemble(finding.what, maybe, "\n", (finding.change, "cyan"))
        for path in finding.paths[:1]:
            lines.append(f"\nsuch as /{path}", "dim")
        grid.add_row(f"  {size_text(finding.size_bytes)}", Text(finding.layer, "bold"), lines)
    console.print(grid)


def _print_sharing(console: Console, shared: Sharing) -> None:
    kind = "" if shared.is_exact else " (estimates: not all of them are built)"
    saved = shared.total_bytes - shared.once_bytes
    console.print(Text(f"Shared{kind}", "bold"))
    console.print(
        f"  {size_text(shared.total_bytes)} in all images, {size_text(shared.once_bytes)} with equal layers once: "
        f"{size_text(saved)} needn't be sent or stored again"
    )
    grid = new_grid("right", "left", "left")
    for layer in shared.layers[:SHOWN_LAYERS]:
        if layer.size_bytes >= 4096:
            grid.add_row(f"  {size_text(layer.size_bytes)}", layer.step, ", ".join(layer.recipes))
    console.print(grid)
    console.print(Text("Another base would send again", "bold"))
    for base in shared.bases:
        each = ", ".join(f"{name} {size_text(size)}" for name, size in base.recipes.items())
        again = size_text(base.base_bytes + base.once_bytes)
        kind = "" if base.is_exact else ", an estimate"
        console.print(f"  {again} for {base.base}: the base {size_text(base.base_bytes)}, on it {each}{kind}")
    if shared.proposals:
        console.print(Text("To share more (estimates)", "bold"))
    grid = new_grid("right", "left")
    for proposal in shared.proposals:
        names = ", ".join(proposal.recipes)
        words = Text.assemble((names, "bold"), "\n", (proposal.change, "cyan"), "\n", (proposal.why, "dim"))
        grid.add_row(f"  {size_text(proposal.saved_bytes)} less", words)
    console.print(grid)


def _head(*words: str) -> list[Text]:
    return [Text(word, "dim") for word in words]


def _cut(text: str) -> str:
    """Return at most 100 characters."""
    return text if len(text) <= 100 else f"{text[:99]}…"
