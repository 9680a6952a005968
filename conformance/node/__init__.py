"""Nodes under test: how one is started, watched and ended."""
