"""What differs between two stores, and which of a number's ingredients explains it."""
