"""Weights of ensembles against the one formula of zero-shot heads."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.errors import EmbedStoreError
from embedstore.heads import zero_shot_weights
from embedstore.prompt_sweep.ensembles import ordered, prefixes, templates, whole
from embedstore.prompt_sweep.texts import PromptTexts
from embedstore.testing.texts import add_prompts

from .conftest import DIM, IDS, N_CLASSES, N_TEMPLATES, drawn


def reference(store, name: str, only: list[int] | None = None) -> np.ndarray:
    _, frame = store.texts(name)
    rows = np.asarray(store.text_embeddings("m", name))
    kept = np.ones(len(rows), bool)
    if only is not None:
        kept = frame["template_index"].is_in(only).to_numpy()
    return zero_shot_weights(rows[kept], frame["class_index"].to_numpy()[kept], N_CLASSES)


def assert_same(ensemble, expected) -> None:
    np.testing.assert_allclose(ensemble.weights, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["four--classes", "described--classes"])
def test_a_whole_set_is_its_zero_shot_head(store, name):
    assert_same(whole(PromptTexts(store, "m", name)), reference(store, name))


def test_templates_prefixes_and_orders(store):
    texts = PromptTexts(store, "m", "four--classes")
    assert texts.n_templates == N_TEMPLATES
    for t, ensemble in enumerate(templates(texts)):
        assert_same(ensemble, reference(store, "four--classes", [t]))
        assert (ensemble.name, ensemble.template) == (f"four[{t}]", f"four {t} of a {{}}.")
    for n, ensemble in enumerate(prefixes(texts), start=1):
        assert_same(ensemble, reference(store, "four--classes", list(range(n))))
        assert (ensemble.name, ensemble.n_templates) == (f"four[:{n}]", n)
    for n, ensemble in enumerate(ordered(texts, [2, 0, 3]), start=1):
        assert_same(ensemble, reference(store, "four--classes", [2, 0, 3][:n]))
    assert (ensemble.name, ensemble.template) == ("four[2,0,3]", "four 3 of a {}.")


def test_rows_may_stand_in_any_order_and_columns_choose_classes(store):
    random = np.random.default_rng(5)
    order = random.permutation(N_CLASSES * N_TEMPLATES)
    class_index = np.repeat(np.arange(N_CLASSES), N_TEMPLATES)[order]
    template_index = np.tile(np.arange(N_TEMPLATES), N_CLASSES)[order]
    rows = np.asarray(store.text_embeddings("m", "four--classes"))[order]
    names = [f"{t} {{}}" for t in range(N_TEMPLATES)]
    add_prompts(store, "m", "mixed", IDS, rows, class_index, template_index, names)
    columns = np.array([4, 1, 1])
    mixed = PromptTexts(store, "m", "mixed--classes", columns)
    assert_same(whole(mixed), reference(store, "four--classes")[columns])
    for t, ensemble in enumerate(templates(mixed)):
        assert_same(ensemble, reference(store, "four--classes", [t])[columns])


def test_texts_of_no_shared_template_have_none(store):
    texts = PromptTexts(store, "m", "described--classes")
    assert texts.n_templates == 0
    assert not [*templates(texts), *prefixes(texts)]


def test_a_template_that_lacks_a_class_makes_no_grid(store):
    class_index = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    template_index = [0, 1, 0, 1, 0, 1, 0, 1, 0, 0]
    names = ["a {}", "b {}"]
    add_prompts(store, "m", "gap", IDS, drawn(10, 3), class_index, template_index, names)
    texts = PromptTexts(store, "m", "gap--classes")
    assert texts.n_templates == 0
    assert_same(whole(texts), reference(store, "gap--classes"))


def test_a_class_without_a_text_is_named(store):
    add_prompts(store, "m", "few", IDS, drawn(4, 3), [0, 1, 3, 4])
    with pytest.raises(EmbedStoreError, match="class 'class-2' of text set 'few--classes'"):
        PromptTexts(store, "m", "few--classes")


def test_a_text_set_longer_than_a_shard(store):
    n = 200  # shards are of 64 rows
    add_prompts(store, "m", "long", IDS, drawn(n, 7), np.arange(n) * 7 % N_CLASSES)
    texts = PromptTexts(store, "m", "long--classes")
    assert_same(whole(texts), reference(store, "long--classes"))
    assert texts.shape == (N_CLASSES, DIM)
