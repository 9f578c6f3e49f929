"""Alertmanager's configuration: who is told, by which channel, from the policies and a file of receivers."""
