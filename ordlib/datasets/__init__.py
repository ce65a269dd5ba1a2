"""Loaders of real data, as people have it on disk.

Each module reads one data set and is imported by name, for example
`from ordlib.datasets import mocap`. A file that cannot be used raises `ordlib.errors.InputError`.

- `human36m`: Human3.6M in two layouts, films with 3D poses; `poses`: its motion capture alone
- `humaneva`: HumanEva-I, films with 3D poses
- `mpi_inf_3dhp`: the test set of MPI-INF-3DHP, films with 3D poses
- `lsp_mpii_ordinal`: photographs with 2D joints and ordinal relations
- `lspet`: photographs with 2D joints
- `relative_depth_lsp`: photographs with 2D joints and a crowd's answers on some pairs
- `mocap`: motion capture, BVH files
- `recognise`: which of these lie below a folder
"""
