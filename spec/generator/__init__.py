"""What `spec/generate.py` is made of: one module reads `protocol.toml`, one for each kind of file it writes."""
