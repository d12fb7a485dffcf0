"""Claims of the study as data: what each says, which test decides it, and by which rule.

Kinds of tests are classes with a method `find`; :mod:`embedstore.claims.recipes` holds the claims.
Figures come from analyses of a store, or from published results.
"""
