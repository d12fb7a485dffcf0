"""embedstore: encode once, analyse for ever.

>>> from embedstore import Store
>>> store = Store.open("clip.zarr")                           # doctest: +SKIP
>>> store.embeddings("clip", "imagenet")[:10]                 # doctest: +SKIP
>>> store.outcomes(models="*", datasets="imagenet*")          # doctest: +SKIP
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from embedstore.errors import EmbedStoreError as EmbedStoreError
    from embedstore.store.store import Store as Store

__version__ = "0.1.0"
__all__ = ["EmbedStoreError", "Store"]

#: Where public names live; imported on first use, so that `embedstore --help` starts at once.
_HOMES = {"Store": "embedstore.store.store", "EmbedStoreError": "embedstore.errors"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'embedstore' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
