"""What a store holds, written for other programs. No model, no torch."""
