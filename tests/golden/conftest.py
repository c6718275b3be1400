"""Keeps pytest from importing the generators, which need the upstream packages."""

collect_ignore_glob = ["*.py"]
