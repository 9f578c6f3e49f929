"""A workflow engine: two-phase runs that call the agents through the sidecar and wait for a (simulated) person."""
