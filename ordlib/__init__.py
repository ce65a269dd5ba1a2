"""Ordinal Depth Supervision for 3D Human Pose Estimation (CVPR 2018), reproduced."""
