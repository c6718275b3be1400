"""Formulas that a user writes: read safely, differentiated exactly, evaluated over rows or over many points at once."""
