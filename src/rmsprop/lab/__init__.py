"""The lab: a page on this machine that shows every step of an optimizer."""
