"""Retrieval between pictures and their captions: who asks, who answers, and how well."""
