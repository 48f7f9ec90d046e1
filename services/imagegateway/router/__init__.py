"""The public ImageService: authenticates, checks against the catalog, runs the work on the families, answers."""
