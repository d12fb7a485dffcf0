"""Where samples come from: sources of pictures, their classes and labels, and their decoding."""
