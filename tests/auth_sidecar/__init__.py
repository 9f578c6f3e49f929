"""Tests of the auth sidecar."""
