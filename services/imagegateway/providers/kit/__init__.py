"""Adapter toolkit: the driver, task state, error tables and the gRPC servicer that all providers share."""
