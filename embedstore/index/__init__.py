"""Nearest neighbours of stored embeddings: exact search, and FAISS indexes kept in the store."""
