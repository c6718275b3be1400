"""What runs the rule over arrays.

`group` decides which arrays go through the compiled pass of `cpu` and which through the `reference` on NumPy; `threads` shares the
pass out, `elements` loads and stores for it, `precision` knows what the numbers of an arithmetic can hold.
"""
