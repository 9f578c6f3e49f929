"""Keeps what happened to alerts: who was told, who took it on, how long it lasted; escalates what nobody takes on."""
