"""Where things lie in a store, format 1."""

from __future__ import annotations

from pathlib import Path

STORE = "embedstore.json"
#: Folders of a store; whatever else lies beside them is the user's own.
PARTS = ("datasets", "models", "results", "runs", "texts")


def was_store(root: Path) -> bool:
    """Whether `root` holds records of a store: folders called `models` are common elsewhere too."""
    records = ("datasets/*/manifest.json", "models/*/model.json", "runs/*/*.json")
    return any(next(root.glob(pattern), None) for pattern in records)


def dataset(dataset: str) -> str:
    """Classes, rows and fingerprint of a data set."""
    return f"datasets/{dataset}"


def annotation_table(dataset: str, name: str) -> str:
    """Further columns of a data set's samples."""
    return f"datasets/{dataset}/annotations/{name}"


def pair_sets(dataset: str) -> str:
    """All sets of pairs of a data set's pictures."""
    return f"datasets/{dataset}/pairs"


def pairs(dataset: str, name: str) -> str:
    """One of them: pairs, and the truth of which points of them belong together."""
    return f"datasets/{dataset}/pairs/{name}"


def texts(texts: str) -> str:
    """Prompts or captions of a text set."""
    return f"texts/{texts}"


def model(model: str) -> str:
    """All that one model computed."""
    return f"models/{model}"


def model_record(model: str) -> str:
    """Identity, provenance and facts of a model."""
    return f"models/{model}/model.json"


def images(model: str, dataset: str) -> str:
    """Image embeddings of a run."""
    return f"models/{model}/images/{dataset}"


def patches(model: str, dataset: str, layer: int) -> str:
    """Patch features of one layer of a run; layers are numbered from 0."""
    return f"models/{model}/patches/{dataset}/{layer}"


def text_embeddings(model: str, texts: str) -> str:
    """Text embeddings of a model."""
    return f"models/{model}/texts/{texts}"


def head(model: str, head: str) -> str:
    """Weights of a head."""
    return f"models/{model}/heads/{head}"


def logits(model: str, dataset: str, head: str) -> str:
    """Logits of a run under a head."""
    return f"models/{model}/logits/{dataset}/{head}"


def outcomes(model: str, dataset: str, head: str, space: str) -> str:
    """Outcomes of a run under a head, in a label space."""
    return f"models/{model}/outcomes/{dataset}/{head}/{space}"


def answers(model: str, dataset: str, protocol: str) -> str:
    """A language model's answers, asked by one protocol."""
    return f"models/{model}/answers/{dataset}/{protocol}"


def index(model: str, part: str, name: str, key: str) -> str:
    """One FAISS index of embeddings; `part` is `images` or `texts`, `key` tells kind and metric."""
    return f"models/{model}/indexes/{part}/{name}/{key}"


def is_cache(key: str) -> bool:
    """Whether what lies there can be made again from the rest of the store."""
    parts = key.split("/")
    return parts[0] == "results" or (parts[0] == "models" and parts[2:3] == ["indexes"])


def results(analysis: str) -> str:
    """Results of one analysis that are kept: a cache."""
    return f"results/{analysis}"


def result(analysis: str, key: str) -> str:
    """One of them; the key tells its parameters and what it was computed from."""
    return f"results/{analysis}/{key}"


def pointer(model: str, dataset: str) -> str:
    """What is finished of a run: a cache over its manifests."""
    return f"runs/{model}/{dataset}.json"
