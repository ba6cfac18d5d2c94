"""A figure of the distances between the masks of targets."""

from __future__ import annotations

from collections.abc import Iterator

from stampbench.report.data import Data
from stampbench.report.masks import comparable_groups, group_in_words, group_name, mean_distance
from stampbench.report.render.figures.drawing import Sketch, axes_of


def draw_masks(data: Data) -> Iterator[Sketch]:
    """Draw a map of mean Jaccard distances between targets for every row that has masks of several targets."""
    for group, found in comparable_groups(data.records, data.frame):
        targets = list(dict.fromkeys(record.job.target for record in found))
        if len(targets) < 2:
            continue
        where = f"{group['variant']}, {group_in_words(group, data.scope)}"
        drawing, axes = axes_of(f"Masks of {where}", "", "")
        matrix = [[mean_distance(found, row, column) for column in targets] for row in targets]
        numbers = [[float("nan") if value is None else value for value in row] for row in matrix]
        axes.imshow(numbers, cmap="cividis_r", vmin=0)
        axes.grid(visible=False)
        axes.set_xticks(range(len(targets)), targets)
        axes.set_yticks(range(len(targets)), targets)
        top = max(value for row in matrix for value in row if value is not None)
        for i, row in enumerate(matrix):
            for j, value in enumerate(row):
                text = "–" if value is None else f"{value:.3f}"
                shade = "white" if value is not None and value > top / 2 else "black"
                axes.text(j, i, text, ha="center", va="center", color=shade)
        yield Sketch(
            drawing,
            data.scope.name("masks", f"{group['variant']}, {group_name(group, data.scope)}"),
            f"Mean Jaccard distance between the masks of {where}; on the diagonal, between the masks of one target "
            f"with different seeds. {data.scope.setting}.",
        )
