"""Manifests as pure functions: dicts out; the same input gives the same bytes."""
