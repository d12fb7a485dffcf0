"""Whether a model still agrees when a run is resumed under other versions or on another device.

Dimensions: B pictures, D embedding.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from embedstore.errors import IdentityError
from embedstore.heads.head import unit

if TYPE_CHECKING:
    from embedstore.encode.images import ImagePass

#: Stored rows that are encoded again.
N_PROBES = 16
#: Least cosine with the stored embedding, by precision; float16 storage alone costs under 1e-6.
TOLERANCE = {"float32": 1e-4, "float16": 1e-3, "bfloat16": 1e-2}


def check_reproduces(image_pass: ImagePass) -> None:
    """Encode a few stored rows again if a former worker ran other versions or another device.

    Raises
    ------
    IdentityError
        If an embedding differs by more than the precision's tolerance; the differing versions are
        named.
    """
    run = image_pass.run
    done = sorted(set(range(run.plan.n_blocks)) - set(run.missing()))
    others = ((b, _versions(run.block_record(b)), _plain(image_pass.provenance)) for b in done)
    found = next(((b, there, here) for b, there, here in others if there != here), None)
    if found is None:
        return
    block, there, here = found
    start, stop = run.plan.rows(block)
    rows = np.arange(start, min(stop, start + N_PROBES))
    stored = run.read(block, "embeddings")[: len(rows)].astype(np.float32)
    again, failed = _encoded(image_pass, rows)
    compared = ~np.isnan(stored[:, 0]) & ~failed
    cosine = (unit(stored) * unit(again)).sum(axis=1)
    agrees = ~compared | (cosine >= 1 - TOLERANCE[run.plan.precision])
    if not agrees.all():
        names = ", ".join(
            f"{k} {there.get(k)} -> {here.get(k)}"
            for k in sorted({*there, *here})
            if there.get(k) != here.get(k)
        )
        raise IdentityError(
            f"{run.folder} was begun elsewhere ({names}), and the model does not give the same "
            f"embeddings here (cosine {cosine[compared].min():.4f}); resume it there, or encode "
            "under another name: --model NAME=SPEC"
        )
    image_pass.progress.notice(
        f"begun under other versions; {int(compared.sum())} stored rows, encoded again, agree"
    )


def _encoded(
    image_pass: ImagePass, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return the rows' embeddings, (B, D), and which pictures could not be used this time, (B,)."""
    locators = [image_pass.pictures.locators[int(row)] for row in rows]
    failed = np.zeros(len(rows), bool)
    with image_pass.decoder(batch_rows=len(rows)) as decoder:
        failed[[i for i, _, _ in decoder.submit(0, locators).result()]] = True
        return image_pass.forward(decoder.pixels(0, len(rows))).arrays()[0].copy(), failed


def _versions(record: dict[str, Any] | None) -> dict[str, str]:
    return _plain(record["provenance"]) if record else {}


def _plain(provenance: Any) -> dict[str, str]:
    return {k: str(v) for k, v in dict(provenance).items()}
