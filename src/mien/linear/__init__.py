"""Linear models, folds, intervals and metrics on plain arrays; no table is known here."""
