"""Where pixels come from: ordered sources, and decoding with limits."""
