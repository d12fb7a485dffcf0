"""Asking language models about pictures: what is asked, the pass that asks it, what is kept."""
