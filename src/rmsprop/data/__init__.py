"""Data sets as columns by name: arrays, frames, CSV and Parquet files."""
