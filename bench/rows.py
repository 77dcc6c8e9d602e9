"""What was measured: rows, their goals, the JSON file and the table. Nothing is measured here."""

from __future__ import annotations

import json
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BEGIN = "<!-- results: written by `make bench`, not by hand -->"
END = "<!-- end of results -->"


@dataclass(frozen=True)
class Goal:
    """What a row must show. Without a limit it is there for orientation only."""

    ours_at_most: float | None = None
    ratio_at_most: float | None = None
    always: bool = False
    """The worst repetition counts, not the one in the middle."""

    def holds(self, every: Sequence[float], ratio: float | None) -> bool | None:
        """Say whether the goal is met; None when there is none."""
        ours = max(every) if self.always else statistics.median(every)
        if self.ours_at_most is None and self.ratio_at_most is None:
            return None
        if self.ours_at_most is not None and ours > self.ours_at_most:
            return False
        return self.ratio_at_most is None or (ratio is not None and ratio <= self.ratio_at_most)

    def words(self, unit: str) -> str:
        """Say the goal in words."""
        parts = []
        if self.ours_at_most is not None:
            parts.append(f"ours ≤ {self.ours_at_most:g} {unit}" if self.ours_at_most else "none ever")
        if self.ratio_at_most is not None:
            parts.append(f"ratio ≤ {self.ratio_at_most:.3g}")
        return ", ".join(parts) or "no goal"


@dataclass(frozen=True)
class Row:
    """One comparison: what we took and what a peer took, each as often as it was measured."""

    part: str
    name: str
    unit: str
    ours: Sequence[float]
    peer: Sequence[float]
    peer_name: str
    goal: Goal
    how: str

    def as_json(self) -> dict[str, Any]:
        """Return the row as it is written down: medians, and the spread as least and most."""
        ours, peer = statistics.median(self.ours), statistics.median(self.peer)
        ratio = ours / peer if peer else None
        return {
            "part": self.part,
            "name": self.name,
            "unit": self.unit,
            "ours": round(ours, 3),
            "peer": round(peer, 3),
            "peer_name": self.peer_name,
            "ratio": None if ratio is None else round(ratio, 3),
            "goal": self.goal.words(self.unit),
            "holds": self.goal.holds(self.ours, ratio),
            "n": [len(self.ours), len(self.peer)],
            "ours_spread": [round(min(self.ours), 3), round(max(self.ours), 3)],
            "peer_spread": [round(min(self.peer), 3), round(max(self.peer), 3)],
            "how": self.how,
        }


def keep(file: Path, rows: Iterable[Row], parts: Iterable[str]) -> list[dict[str, Any]]:
    """Write the rows; those of parts that were not measured this time stay as they are. Returns all of them."""
    try:
        before: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        before = []
    measured = set(parts)
    found = [row for row in before if row["part"] not in measured] + [row.as_json() for row in rows]
    found.sort(key=lambda row: str(row["part"]))
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return found


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Return the rows as a table in Markdown, and below it how each was taken."""
    lines = [
        "| | what | unit | ours | peer | ratio | goal | holds |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        lines.append(
            "| {part} | {name} | {unit} | {ours} | {peer} ({peer_name}) | {ratio} | {goal} | {holds} |".format(
                part=row["part"],
                name=row["name"],
                unit=row["unit"],
                ours=_spread(row["ours"], row["ours_spread"], row["n"][0]),
                peer=_spread(row["peer"], row["peer_spread"], row["n"][1]),
                peer_name=row["peer_name"].replace("|", "\\|"),
                ratio="–" if row["ratio"] is None else f"{row['ratio']:.2f}",
                goal=row["goal"],
                holds={True: "yes", False: "**no**", None: "–"}[row["holds"]],
            )
        )
    taken = [f"- **{row['part']}, {row['name']}**: {row['how']}" for row in rows]
    return "\n".join([*lines, "", "How each was taken:", "", *taken])


def put_in(readme: Path, text: str) -> None:
    """Replace what stands between the markers of the README."""
    whole = readme.read_text(encoding="utf-8")
    before, begin, rest = whole.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{readme} lacks its markers {BEGIN} and {END}")
    readme.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def _spread(median: float, spread: Sequence[float], number: int) -> str:
    shown = f"**{_number(median)}**"
    return shown if number == 1 else f"{shown} ({_number(spread[0])}–{_number(spread[1])}, n {number})"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.2f}"
