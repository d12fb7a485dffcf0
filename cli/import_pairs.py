"""`embedstore import pairs`."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from cli.arguments import complete_in_store, store_argument
from cli.import_options import say

PRESETS = ("navi", "scannet-pairs", "spair-71k")


class _Pairs(click.Path):
    """A file, or a preset's name, a colon and where its copy is."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        names = [
            CompletionItem(f"{n}:") for n in PRESETS if incomplete and n.startswith(incomplete)
        ]
        return [*names, *super().shell_complete(ctx, param, incomplete)]


@click.command(params=[store_argument(), click.Argument(["file"], type=_Pairs())])
@click.option(
    "--data",
    required=True,
    metavar="D",
    shell_complete=complete_in_store("datasets"),
    help="The data set whose pictures are paired.",
)
@click.option("--name", metavar="NAME", help="Of the set of pairs.  [default: the file's]")
@click.option(
    "--stride",
    type=click.IntRange(min=1),
    metavar="N",
    help="Keep depth or disparity of every N-th pixel.  [default: 4; navi: what puts 128 points "
    "across the object]",
)
def pairs(store: str, file: str, data: str, name: str | None, stride: int | None) -> None:
    """Bring in pairs of pictures, and what says which point of one is which of the other.

    FILE is a table with the sample ids `first` and `second`, and the columns of one truth:

    \b
      homography                          9 numbers, pixels of the first to the second's
      disparity [disparity_scale]         a file; x in the second is x less disparity
      depth_first depth_second pose       files, and 16 numbers, first camera to second
        intrinsics_first intrinsics_second [depth_scale]
      keypoints_first keypoints_second [box_second] [class_name]    lists of [x, y]

    Lists are JSON. Points and boxes (left, top, right, bottom) are in pixels, inside the picture;
    null is a keypoint that is absent. Files count from the table's folder: .npy, .npz, PFM, or PNG
    of one channel in units of the scale. Pictures that are not at hand need width_first,
    height_first and so on.

    FILE may also be navi:PATH, scannet-pairs:PATH or spair-71k:PATH, a copy of these data sets.
    Pairs without overlap or known depth are left out and counted.

    \b
    Examples:
      embedstore import pairs clip.store pairs.csv --data views
      embedstore import pairs clip.store navi:/data/navi_v1 --data navi
      embedstore import pairs clip.store 'spair-71k:/data/SPair-71k?split=val' --data spair-71k
    """
    from cli.progress import progress
    from embedstore.importers.pair_sources import open_pairs
    from embedstore.importers.pairs import import_pairs
    from embedstore.store import Store

    opened, given = Store.open(store), open_pairs(file, stride)
    with progress() as shown:

        def begin(stage: str) -> None:
            if stage == "writing":
                shown.end()
            shown.begin(f"{data}: {stage}", n, unit="pair" if n == 1 else "pairs")

        n = len(given)
        report = import_pairs(opened, given, data, name=name, begin=begin, advance=shown.advance)
        shown.end()
    say(report, f"embedstore analyze correspondence {store} --datasets {data}")


def add_to(group: click.Group) -> None:
    """Make it a command of the group."""
    group.add_command(pairs)
