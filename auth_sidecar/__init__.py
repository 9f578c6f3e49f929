"""The auth sidecar: who are you, may you, write it down, pass it on."""
