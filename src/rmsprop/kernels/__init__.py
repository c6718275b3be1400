"""What runs the rule: `reference` on NumPy arrays, `cpu` in one compiled pass over many tensors, `threads` to share that pass out."""
