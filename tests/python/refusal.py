"""What every refusal must look like to whoever typed the cell."""

from __future__ import annotations

from conversation import Cell


def refused(cell: Cell) -> str:
    """The error of a cell that was refused the way every refusal must look; returns it."""
    assert cell.reply["status"] == "error", f"it was taken:\n{cell.shown}"
    error = cell.error
    lines = [line.strip() for line in error.splitlines()]
    assert sum("help:" in line for line in lines) == 1, f"one way out is told:\n{error}"
    sentence = lines[0]
    assert len(sentence) > 20 and len(sentence) < 300, error
    for word in ("panicked", "unwrap", "Os {", "Error(", "Io(", "src/", "None"):
        assert word not in error, error
    return error
