"""Trains networks: recipes, data sets read from disk, one loop on Lightning Fabric, and the evaluators of a search.

- `recipes`: the choices that determine a training run, as data; `rate` gives the learning rate at a moment
- `datasets`: images and labels on disk, one format a module
- `prepare`: augments, normalises and scales images for a network; `augment` has the functions
- `batches`: the samples of each batch, as a function of the seed and the epoch
- `matching`: the network of a spec for a data set: its classes, its input
- `hardware`: the devices and the precision
- `graphs`: a training step as a CUDA graph
- `loop`: the epochs of a training run, on Fabric
- `run`, `run_folder`: a whole training run, and its folder: weights, metrics, the state that a resumed run needs
- `evaluators`: the same loop as a function of a model, for searches
- `scores`: scores of untrained networks

Importing this package imports neither torch nor Lightning.
"""
