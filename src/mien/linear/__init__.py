"""Linear models, folds, intervals and metrics: the one place where anything linear is fitted.

It knows arrays only: no tables, no files, no probes and no protocols.
"""
