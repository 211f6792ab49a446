"""Expression: what the frozen factors say of classes, valence and arousal, and action units."""
