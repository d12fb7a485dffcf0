"""Corruption errors: accuracy under corruption at each severity, against a normaliser's."""
