"""What runs the rule: `reference` on NumPy arrays, `cpu` in one compiled pass over many tensors, which `threads` shares out."""
