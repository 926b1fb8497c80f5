"""What it costs, in figures and ratios: `python -m bench [NAME …] [--quick]`. A wrong result fails it, a slow one never does."""
