"""One module an analysis: a store in, a tidy table out. No model, no command line."""
