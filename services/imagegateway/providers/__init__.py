"""Provider families: the catalog of their models, and an adapter for each route."""
