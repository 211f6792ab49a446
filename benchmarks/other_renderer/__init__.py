"""People drawn by Mitsuba 3 from ICT-FaceKit's shapes, their skin, hair, eyes, light new.

What `mien.synth` draws is what the weights learned from; these look otherwise, so that they tell
how far the weights hold. Only shapes, expressions and head turns are shared with `mien.synth`.
"""
