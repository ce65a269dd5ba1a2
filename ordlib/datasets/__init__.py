"""Loaders of real data, as people have it on disk.

Each module reads one data set and is imported by name, for example
`from ordlib.datasets import mocap`. A file that cannot be used raises `ordlib.errors.InputError`.

- `mocap`: motion capture, BVH files
- `lsp_mpii_ordinal`: photographs with 2D joints and ordinal relations
- `lspet`: photographs with 2D joints
"""
