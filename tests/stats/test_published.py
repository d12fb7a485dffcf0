"""Trends over the 121 published CLIP models: golden values to every digit given."""

from __future__ import annotations

import polars as pl
import pytest

from embedstore.stats.axes import to_axis
from embedstore.stats.lines import robust_line


@pytest.fixture(scope="module")
def published(shared_data) -> pl.DataFrame:
    folder, key = shared_data / "published", ["name", "pretrained"]
    retrieval = pl.read_csv(folder / "openclip_retrieval_results.csv")
    table = pl.read_csv(folder / "openclip_results.csv").join(retrieval, on=key)
    assert table.height == 121
    return table


@pytest.mark.parametrize(
    ("metric", "spearman", "r2"),
    [
        ("MSCOCO image retr. R@1", 0.93360701, 0.94432337),
        ("MSCOCO text retr. R@1", 0.96361342, 0.96544814),
    ],
)
def test_retrieval_follows_classification(published, metric, spearman, r2) -> None:
    x, y = (to_axis(published[c], "probit")[0] for c in ("ImageNet 1k", metric))
    line = robust_line(x, y)
    assert line.spearman == pytest.approx(spearman, abs=5e-9)
    assert line.r2 == pytest.approx(r2, abs=5e-9)


@pytest.mark.parametrize(
    ("dataset", "r2"),
    [
        ("ImageNet v2", 0.99929381),
        ("ImageNet Sketch", 0.96887127),
        ("ObjectNet", 0.94717840),
        ("ImageNet-R", 0.94514380),
        ("ImageNet-A", 0.85287131),
    ],
)
def test_shifts_on_logit_axes(published, dataset, r2) -> None:
    x, y = (to_axis(published[c], "logit")[0] for c in ("ImageNet 1k", dataset))
    assert robust_line(x, y).r2 == pytest.approx(r2, abs=5e-9)
