"""Where pixels come from: ordered sources, decoding with limits, procedural faces."""
