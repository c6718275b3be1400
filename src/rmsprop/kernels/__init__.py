"""What runs the rule over arrays.

`group` decides which arrays go through the compiled pass of `cpu` and which through the `reference` on NumPy; `threads` shares the
pass out, `elements` loads and stores for it, `layout` and `precision` know where arrays lie and what their numbers can hold.
"""
