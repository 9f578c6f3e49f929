"""Side-by-side benchmarks against the budgets of the design and against named peers."""
