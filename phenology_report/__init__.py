"""Accuracy of the phenology and figures of real series, made by `make phenology-report`."""
