"""What of a store counts: pictures that were read, captions that say something."""

from __future__ import annotations

import numpy as np
import pytest

from embedstore.errors import DatasetError, EmbedStoreError, NonFiniteError, UnknownNameError
from embedstore.retrieval.captioned import CaptionRun, caption_runs, count_captioned
from embedstore.testing.captioned import Captions, captioned_store

RUN = CaptionRun("model", "data", "captions--data")
TEXTS = ("a cat", "a dog", " ", "a bird", "a dog", "a fish")
PICTURE_OF = (4, 0, 0, 2, 1, 0)


def normal(shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def store_of(path, *, pictures=None, embeddings=None, texts=TEXTS, of=PICTURE_OF, **options):
    pictures = normal((5, 8)) if pictures is None else pictures
    embeddings = normal((len(texts), 8), 1) if embeddings is None else embeddings
    captions = {"captions": Captions(texts, of, embeddings)}
    return captioned_store(path, pictures, captions, **options)


def test_captions_lie_in_the_order_of_their_pictures(tmp_path):
    store = store_of(tmp_path / "s", failed=(2,))
    found = count_captioned(store, RUN)
    texts = np.asarray(store.text_embeddings("model", "captions--data"))
    pictures = np.asarray(store.embeddings("model", "data"), np.float32)
    kept = [1, 5, 1, 0]  # the second dog is the first; the bird's picture failed; " " is empty
    assert found.picture_of.tolist() == [0, 0, 1, 3]
    assert found.text_of.tolist() == [1, 2, 1, 0]
    unit = texts[kept] / np.linalg.norm(texts[kept], axis=1, keepdims=True)
    np.testing.assert_allclose(found.captions(), unit, rtol=1e-6)
    read = pictures[[0, 1, 3, 4]]
    unit = read / np.linalg.norm(read, axis=1, keepdims=True)
    np.testing.assert_allclose(found.pictures(), unit, rtol=1e-6)
    assert found.pictures().dtype == found.captions().dtype == np.float32
    assert found.n_captions_left_out == 2
    assert found.n_pictures_left_out == 2  # one failed, one has no caption


def test_which_captions_there_are(tmp_path):
    given = {
        name: Captions(TEXTS, PICTURE_OF, normal((6, 8))) for name in ("captions", "captions-de")
    }
    store = captioned_store(tmp_path / "s", normal((5, 8)), given)
    captioned_store(tmp_path / "s", normal((5, 8)), {}, dataset="other")
    no_text = {name: Captions(TEXTS, PICTURE_OF, None) for name in given}
    captioned_store(tmp_path / "s", normal((5, 8)), no_text, model="classifier", has_text=False)
    found = caption_runs(store, "*", "*", "*")
    assert found == [RUN, RUN._replace(texts="captions-de--data")]
    assert caption_runs(store, "*", "*", "captions-??--*") == found[1:]
    assert caption_runs(store, "*", "*", "captions") == found[:1]
    assert caption_runs(store, "*", "*", "captions-??") == found[1:]
    assert caption_runs(store, "*", "nothing", "*") == []
    with pytest.raises(UnknownNameError, match="caption set 'captions-fr'; .* captions--data, "):
        caption_runs(store, "*", "*", "captions-fr")
    with pytest.raises(EmbedStoreError, match=r"no captions belong to: other; encode .* csv:"):
        caption_runs(store, "*", "other", "*")
    with pytest.raises(EmbedStoreError, match="no model here has embeddings of the captions"):
        caption_runs(store, "classifier", "*", "*")


def test_captions_that_a_model_could_have_encoded_are_missed(tmp_path):
    given = {"captions": Captions(TEXTS, PICTURE_OF, None)}
    store = captioned_store(tmp_path / "s", normal((5, 8)), given)
    with pytest.raises(
        EmbedStoreError, match=r"not encoded the captions 'captions--data'; run its "
    ):
        caption_runs(store, "*", "*", "*")


@pytest.mark.parametrize("sample", [5, -1, None])
def test_captions_of_pictures_that_are_not_there_are_refused(tmp_path, sample):
    store = store_of(tmp_path / "s", of=(*PICTURE_OF[:3], sample, 1, 0))
    with pytest.raises(DatasetError, match=rf"caption 3 of .* belongs to sample {sample} of 5 "):
        count_captioned(store, RUN)


@pytest.mark.parametrize(
    "options",
    [{"failed": range(5)}, {"texts": ("", " ", "\t", "\n", "", "")}, {"failed": (0, 1, 2, 4)}],
)
def test_where_nothing_counts_there_is_an_error(tmp_path, options):
    store = store_of(tmp_path / "s", **options)
    with pytest.raises(
        DatasetError,
        match="none of the 6 captions 'captions--data' has .* for model 'model'; choose",
    ):
        count_captioned(store, RUN)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_embeddings_that_are_no_numbers_are_named(tmp_path, wrong):
    pictures, texts = normal((5, 8)), normal((6, 8))
    pictures[3, 2] = texts[3, 5] = wrong
    store = store_of(tmp_path / "pictures", pictures=pictures, failed=(1,))
    with pytest.raises(NonFiniteError, match="embedding of picture 3 of 'data' by 'model'"):
        count_captioned(store, RUN).pictures()
    store = store_of(tmp_path / "texts", embeddings=texts)
    with pytest.raises(NonFiniteError, match="embedding of text 3 of 'captions--data' by 'model'"):
        count_captioned(store, RUN).captions()
    failed = store_of(tmp_path / "failed", embeddings=texts, failed=(2,))
    assert len(count_captioned(failed, RUN).captions()) == 4  # the bird's picture failed


def test_spaces_that_do_not_match_are_refused(tmp_path):
    store = store_of(tmp_path / "s", embeddings=normal((6, 7)))
    with pytest.raises(DatasetError, match="7 dimensions and those of the pictures 8"):
        count_captioned(store, RUN)
