"""Loaders of real data, as people have it on disk.

Each module reads one data set and is imported by name, for example
`from ordlib.datasets import mocap`. A file that cannot be used raises `ordlib.errors.InputError`.
"""
