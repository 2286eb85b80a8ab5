"""Instruction counts of the hot loop against a committed baseline; check.py says how."""
