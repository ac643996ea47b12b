"""Training: recipes, data sets read from disk, one loop on Lightning Fabric, and the evaluators that a search uses.

    recipes     what decides a trajectory, as data; `schedule` gives its learning rate at any moment
    datasets    images and labels as they lie on disk, one format a room
    prepare     images as a network takes them: augmented, normalised, of its size; `augment` has the pieces
    batches     which samples come in which order, from nothing but the seed and the epoch
    matching    the network of a spec for a data set: its classes, its input
    graphs      a step as a CUDA graph
    loop        epochs on Fabric: precision and devices are its matter
    runs        the folder of a run: weights, metrics, what a resumed run needs
    evaluators  the same loop as a function of a model, for searches

Importing this package imports neither torch nor Lightning.
"""
