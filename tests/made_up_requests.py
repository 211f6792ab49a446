"""Images for requests that Schemathesis makes up; by itself it would send noise.

All its phases, against a service that runs:

    SCHEMATHESIS_HOOKS=made_up_requests PYTHONPATH=src:tests schemathesis run \\
        http://127.0.0.1:8321/openapi.json -H "Authorization: Bearer TOKEN" --max-examples 200
"""

from __future__ import annotations

import schemathesis
from hypothesis import strategies as st

from made_service import base64_of, picture

__all__ = ["IMAGES"]

IMAGES = [
    picture(seed, first=first, form=form)
    for seed in (1, 2)
    for first in (0, 128)
    for form in ("PNG", "JPEG")
]

schemathesis.openapi.format("base64-image", st.sampled_from(IMAGES).map(base64_of))
schemathesis.openapi.format("binary", st.sampled_from(IMAGES))
schemathesis.openapi.format("edit-json", st.sampled_from(["{}", '{"neutral": true, "size": 16}']))
for kind in ("image/jpeg", "image/png", "image/webp", "application/octet-stream"):
    schemathesis.openapi.media_type(kind, st.sampled_from(IMAGES))
