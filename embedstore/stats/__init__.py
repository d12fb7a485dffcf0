"""Statistics of numbers and tables. They know neither stores nor models."""
