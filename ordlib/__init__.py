"""Ordinal Depth Supervision for 3D Human Pose Estimation (CVPR 2018), reproduced.

The modules here are the paper: joints and relations (`skeleton`, `relations`), what is learned
(`losses`, `likelihoods`, `volume`) by what (`networks`, `reconstruction`), and how it is measured
(`camera`, `metrics`). `annotation` is how people are asked. The rest carries it: `data` is pictures
and labels as one type of data set, `synthetic` renders the stand-ins, `datasets` reads real sets;
`training` has the one loop; `experiments` the rows of every table, from `Setting` and `run` to
`tables` and `claims`; `labelling` is the annotation page, `predict` goes from a picture to
millimetres, and `cli` is `python -m ordlib`.
"""
