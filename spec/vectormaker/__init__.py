"""What `spec/make_vectors.py` is made of: a tiny msgpack encoder of its own, and the vectors by subject.

Nothing here uses the library or a msgpack package, so that no mistake of theirs can hide in the golden bytes.
"""
