"""`/v1/collections`: people and their faces, enrolled, searched for, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import numpy as np
from fastapi import APIRouter, Path, Query, Request, Response
from pydantic import Field

from mien.serve.bodies import image_schema, json_schema, read_image, read_json
from mien.serve.collections import (
    Collection,
    FullError,
    Gone,
    MissingError,
    StoredFace,
    TakenError,
)
from mien.serve.engine import largest
from mien.serve.errors import ApiError
from mien.serve.faces import box_of
from mien.serve.replies import Asked, Page, Paging, ServiceOf, answers, binary, count, page, reply
from mien.serve.routes.analyze import IMAGE_FAULTS, code_of, rate_field, threshold_out
from mien.serve.schemas import NAME
from mien.serve.service import Service, same_rate
from mien.serve.store_schemas import (
    CollectionBody,
    CollectionOut,
    CollectionPage,
    Deleted,
    FaceOut,
    FacePage,
    PersonOut,
    PersonPage,
    SearchAnswer,
)

__all__ = ["router"]

router = APIRouter(tags=["collections"])

Result = TypeVar("Result")

CollectionName = Annotated[str, Path(pattern=NAME)]
PersonName = Annotated[str, Path(pattern=NAME)]
FaceId = Annotated[str, Path(pattern=r"^[0-9a-f]{32}$")]
_BODY = ("malformed_body", "body_too_slow", "request_too_large", "unsupported_media_type")
_MISSING = ("collections_off", "unknown_collection", "invalid")


async def _stored(work: Callable[..., Result], *given: Any, missing: str, **named: Any) -> Result:
    """Run the store's work on a thread; `missing` is the code of what is not there."""
    try:
        return await asyncio.to_thread(work, *given, **named)
    except TakenError as error:
        raise ApiError("exists", str(error)) from error
    except FullError as error:
        raise ApiError("full", str(error)) from error
    except MissingError as error:
        raise ApiError(missing, str(error)) from error


async def _collection(service: Service, name: str) -> Collection:
    return await _stored(service.faces().get, name, missing="unknown_collection")


async def _usable(service: Service, name: str) -> Collection:
    """Return a collection whose codes are those of the service's weights."""
    reference, found = service.thresholds(), await _collection(service, name)
    ours = (service.model.weights_id, reference.code)
    if (found.weights_id, found.code) != ours:
        raise ApiError(
            "other_weights",
            f"{name} holds codes of the weights {found.weights_id}; this service has {ours[0]}",
        )
    return found


def _out(collection: Collection) -> CollectionOut:
    return CollectionOut.model_validate(
        {
            **{n: getattr(collection, n) for n in ("name", "keep_images", "weights_id", "code")},
            "created": collection.created,
            "faces": len(collection.faces),
            "people": len(collection.people),
        }
    )


def _face(face: StoredFace) -> FaceOut:
    return FaceOut(face_id=face.face_id, person=face.person, added=face.added, image=face.image)


def _deleted(request: Request, gone: Gone) -> Response:
    count(request, faces=gone.faces, people=gone.people)
    return reply(
        Deleted(
            deleted_faces=gone.faces,
            deleted_people=gone.people,
            files_searched=gone.files_searched,
            bytes_searched=gone.bytes_searched,
        )
    )


@router.post(
    "/v1/collections",
    operation_id="create_collection",
    status_code=201,
    response_model=CollectionOut,
    openapi_extra=json_schema(CollectionBody),
    responses=answers(*_BODY, "collections_off", "invalid", "exists", "full", "no_thresholds"),
)
async def create_collection(request: Request, service: ServiceOf) -> Response:
    """Make an empty collection."""
    store, reference = service.faces(), service.thresholds()
    body = await read_json(request, CollectionBody)
    made = await _stored(
        store.create,
        body.name,
        weights_id=service.model.weights_id,
        code=reference.code,
        keep_images=body.keep_images,
        missing="unknown_collection",
    )
    return reply(_out(made), 201)


@router.get(
    "/v1/collections",
    operation_id="list_collections",
    response_model=CollectionPage,
    responses=answers("collections_off", "invalid"),
)
async def list_collections(service: ServiceOf, paging: Paging) -> Response:
    """List the collections by name."""
    store = service.faces()
    names, following = page(await asyncio.to_thread(store.names), paging)
    found = [_out(await _collection(service, name)) for name in names]
    return reply(CollectionPage(collections=found, next_cursor=following))


@router.get(
    "/v1/collections/{collection}",
    operation_id="get_collection",
    response_model=CollectionOut,
    responses=answers(*_MISSING),
)
async def get_collection(service: ServiceOf, collection: CollectionName) -> Response:
    """Say how much a collection holds."""
    return reply(_out(await _collection(service, collection)))


@router.delete(
    "/v1/collections/{collection}",
    operation_id="delete_collection",
    response_model=Deleted,
    responses=answers(*_MISSING),
)
async def delete_collection(
    request: Request, service: ServiceOf, collection: CollectionName
) -> Response:
    """Delete a collection with all that is in it."""
    work = service.faces().delete
    return _deleted(request, await _stored(work, collection, missing="unknown_collection"))


class _Enrol(Asked):
    person: str = Field(pattern=NAME, description="Who it is.")


@router.post(
    "/v1/collections/{collection}/faces",
    operation_id="enrol_face",
    status_code=201,
    response_model=FaceOut,
    openapi_extra=image_schema(),
    responses=answers(
        *IMAGE_FAULTS, *_MISSING, "no_face", "full", "other_weights", "no_thresholds"
    ),
)
async def enrol_face(
    request: Request,
    service: ServiceOf,
    collection: CollectionName,
    asked: Annotated[_Enrol, Query()],
) -> Response:
    """Add the largest face of an image to a person."""
    store, found = service.faces(), await _usable(service, collection)
    data = await read_image(request)
    seen = await service.engine.see(data)
    face = largest(seen.faces)
    code = code_of(service.thresholds(), face)
    image = data if found.keep_images else None
    given = (collection, asked.person, code, image)
    made = await _stored(store.add, *given, missing="unknown_collection")
    count(request, images=1, faces=1)
    out = _face(made)
    out.box, out.faces_in_image = box_of(face), len(seen.faces)
    return reply(out, 201)


class _Faces(Page):
    person: str | None = Field(default=None, pattern=NAME, description="Of this person alone.")


@router.get(
    "/v1/collections/{collection}/faces",
    operation_id="list_faces",
    response_model=FacePage,
    responses=answers(*_MISSING),
)
async def list_faces(
    service: ServiceOf, collection: CollectionName, asked: Annotated[_Faces, Query()]
) -> Response:
    """List the faces of a collection, or those of a person, in the order of their adding."""
    found = await _collection(service, collection)
    faces = [face for face in found.faces if asked.person in (None, face.person)]
    rows, following = page(faces, asked)
    return reply(FacePage(faces=[_face(face) for face in rows], next_cursor=following))


@router.get(
    "/v1/collections/{collection}/faces/{face_id}/image",
    operation_id="get_face_image",
    response_class=Response,
    responses=answers(
        *_MISSING, "no_image", status_200=binary("As it was sent.", "application/octet-stream")
    ),
)
async def get_face_image(
    service: ServiceOf, collection: CollectionName, face_id: FaceId
) -> Response:
    """Give the image that a face is from, if the collection keeps images."""
    await _collection(service, collection)
    image = await _stored(service.faces().image, collection, face_id, missing="no_image")
    return Response(image, media_type="application/octet-stream")


@router.delete(
    "/v1/collections/{collection}/faces/{face_id}",
    operation_id="delete_face",
    response_model=Deleted,
    responses=answers(*_MISSING, "unknown_face"),
)
async def delete_face(
    request: Request, service: ServiceOf, collection: CollectionName, face_id: FaceId
) -> Response:
    """Delete a face; what is left is read to the end to see that it is gone."""
    await _collection(service, collection)
    work = service.faces().delete_face
    return _deleted(request, await _stored(work, collection, face_id, missing="unknown_face"))


@router.get(
    "/v1/collections/{collection}/people",
    operation_id="list_people",
    response_model=PersonPage,
    responses=answers(*_MISSING),
)
async def list_people(service: ServiceOf, collection: CollectionName, paging: Paging) -> Response:
    """List the people of a collection by name."""
    people = (await _collection(service, collection)).people
    rows, following = page(list(people.items()), paging)
    found = [PersonOut(person=person, faces=faces) for person, faces in rows]
    return reply(PersonPage(people=found, next_cursor=following))


@router.delete(
    "/v1/collections/{collection}/people/{person}",
    operation_id="delete_person",
    response_model=Deleted,
    responses=answers(*_MISSING, "unknown_person"),
)
async def delete_person(
    request: Request, service: ServiceOf, collection: CollectionName, person: PersonName
) -> Response:
    """Delete a person; what is left is read to the end to see that nothing of them is in it."""
    await _collection(service, collection)
    work = service.faces().delete_person
    return _deleted(request, await _stored(work, collection, person, missing="unknown_person"))


class _Search(Asked):
    limit: int = Field(default=10, ge=1, le=1000, description="Matches at most.")
    false_match_rate: float = rate_field


@router.post(
    "/v1/collections/{collection}/search",
    operation_id="search",
    response_model=SearchAnswer,
    openapi_extra=image_schema(),
    responses=answers(*IMAGE_FAULTS, *_MISSING, "no_face", "other_weights", "no_thresholds"),
)
async def search(
    request: Request,
    service: ServiceOf,
    collection: CollectionName,
    asked: Annotated[_Search, Query()],
) -> Response:
    """Find the faces of a collection that are most like the largest face of an image."""
    found, reference = await _usable(service, collection), service.thresholds()
    threshold = reference.threshold(same_rate(reference, asked.false_match_rate))
    face = largest((await service.engine.see(await read_image(request))).faces)
    code = code_of(reference, face)
    matches = []
    if found.faces:
        alike = await asyncio.to_thread(reference.similarity, found.codes, code)
        alike = np.clip(alike, -1, 1)
        for row in np.argsort(-alike, kind="stable")[: asked.limit]:
            stored, similarity = found.faces[row], float(alike[row])
            matches.append(
                {
                    "face_id": stored.face_id,
                    "person": stored.person,
                    "similarity": similarity,
                    "reaches_threshold": similarity >= threshold.similarity,
                }
            )
    count(request, images=1, faces=1, searched=len(found.faces))
    return reply(
        SearchAnswer.model_validate(
            {
                "matches": matches,
                "searched": len(found.faces),
                "threshold": threshold_out(threshold),
                "measured_on": reference.measured_on,
                "box": box_of(face),
            }
        )
    )
