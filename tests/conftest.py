"""Settings for all tests."""

from hypothesis import settings

# The first example of a test may compile a kernel; no test asserts a time.
settings.register_profile("rmsprop", deadline=None)
settings.load_profile("rmsprop")
