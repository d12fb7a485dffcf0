"""From pictures and texts to a store: decoding, the model on its device, blocks, resumption."""
