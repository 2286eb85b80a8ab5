"""Instruction counts of the hot loop against a committed baseline; see check.py."""
