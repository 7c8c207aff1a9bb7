"""MiniBatchKMeans for many numbers of clusters, and their inertia beside that of Gaussian data."""
