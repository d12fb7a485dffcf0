"""Models side by side: one figure each or two, what is known of them, and where these are from.

What analyses across models lean on: figures come from other analyses of a store, from published
results that the package carries, or from a user's files.
"""
