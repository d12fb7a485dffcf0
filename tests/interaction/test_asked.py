"""What the encoder asks a language model, compared as it is stored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from embedstore import Store, analysis
from embedstore.datasets.sources import open_source
from embedstore.encode.answers.questions import Questions
from embedstore.encode.encoder import encode
from embedstore.encode.request import Options, Request
from embedstore.models.llava_adapter import LlavaModel
from embedstore.testing.llava import save_random_llava

CLASSES = ("bird", "cat", "dog", "fish")
TOY_MODELS = Path(__file__).parents[1] / "encode"
#: Protocol -> number of options.
PROTOCOLS = {"two-options": 2, "letters-4": 4, "n-way-3": 3}


def says_the_first(answer):
    """Make a model's texts the first options that it is given."""

    def answered(self, tiles, questions, **keywords):
        said = answer(self, tiles, questions, **keywords)
        if keywords["max_tokens"]:
            said.texts[:] = [[one.options[0] for one in of] for of in questions]
        return said

    return answered


@pytest.fixture(scope="module")
def asked(tmp_path_factory) -> Store:
    """Eight pictures a class, one of them broken, asked about by all protocols and decodings."""
    folder, random = tmp_path_factory.mktemp("asked"), np.random.default_rng(0)
    for name in CLASSES:
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(8):
            pixels = random.integers(0, 255, (40, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "pictures" / name / f"{i}.png")
    (folder / "pictures" / "cat" / "3.png").write_bytes(b"no picture")
    data = [("pets", open_source(f"folder:{folder / 'pictures'}"))]
    store = Store.open(folder / "store", create=True)
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)  # layers this small take longer on several
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOY_CLASSES", ",".join(CLASSES))
        patch.syspath_prepend(str(TOY_MODELS))
        encode(store, Request(models=[("toy", "python:toy_models:linear")], data=data, prompts=[]))
        patch.setattr(LlavaModel, "answer", says_the_first(LlavaModel.answer))
        llava = [("llava", f"llava:{save_random_llava(folder / 'llava', 'llava_next')}")]
        for protocol in PROTOCOLS:
            for decoding in ("likelihood", "greedy"):
                reference = "toy@own" if protocol == "two-options" else None
                questions = Questions.of(protocol, reference, decoding)
                options = Options(device="cpu", batch_size=4)
                encode(store, Request(llava, data, [], options=options, questions=questions))
    torch.set_num_threads(n_threads)
    return Store.open(store.files.root)


@pytest.mark.slow
@pytest.mark.parametrize(("score", "ending"), [("per-token", ""), ("text", "-greedy")])
def test_what_was_asked_is_compared_and_decides_as_the_outcomes_do(asked, score, ending):
    frame = analysis.run("interaction", asked, encoder="toy", score=score)
    accuracy = analysis.run("accuracy", asked, models="llava")
    of_head = dict(accuracy.select("head", "top1_accuracy").rows())
    rows = {row["protocol"]: row for row in frame.rows(named=True)}
    for protocol, n_options in PROTOCOLS.items():
        row, n_orders = rows[protocol + ending], 1 if protocol.startswith("letters") else 2
        assert (row["n_samples"], row["n_left_out"], row["n_fewer_orders"]) == (31, 1, 0)
        assert (row["n_orders"], row["chance"]) == (n_orders, pytest.approx(1 / n_options))
        assert row["decided_accuracy"] == pytest.approx(of_head[protocol + ending])
        assert (row["score"], row["note"]) == (score, None)
        assert (row["n_unparsed"], row["encoder_accuracy"] is None) == (0, False)
        assert not ending or row["n_ties"] == 31 * (n_orders - 1)
    auto = analysis.run("interaction", asked, encoder="toy")
    decided = dict(auto.select("protocol", "decided_accuracy").rows())
    assert decided == {name: pytest.approx(of_head[name]) for name in decided}
    if score == "per-token":
        assert "not the texts that are stored beside them" in rows["letters-4-greedy"]["note"]
