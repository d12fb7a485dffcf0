"""The store: files, records, manifests, arrays, block runs, and the object that reads them."""

from embedstore.store.store import Store

__all__ = ["Store"]
