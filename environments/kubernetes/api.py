"""The API server, asked in plain objects: the official client brings the way there and the credentials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import urllib3
from kubernetes.client import ApiClient
from kubernetes.client.exceptions import ApiException
from urllib3.response import BaseHTTPResponse

from environments.provider import StackError

Document = dict[str, Any]
BOUND_S = 30.0
FIELD_MANAGER = "vllm-slo"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
UNAUTHORIZED, FORBIDDEN, NOT_FOUND, CONFLICT = 401, 403, 404, 409
OF_SECRETS = re.compile(r"/secrets(/|$)")  # paths whose answers may say what nobody is to read


class ApiError(StackError):
    """The API server refused, or could not be asked. `status` is 0 where it did not answer."""

    def __init__(self, what: str, status: int, seen: str, hint: str | None = None) -> None:
        super().__init__(what, seen=seen, hint=hint)
        self.status = status


@dataclass(frozen=True, slots=True)
class Resource:
    """Where the objects of a kind are, by the server's own account."""

    plural: str
    namespaced: bool


class Api:
    """One cluster, under the rights of one context."""

    def __init__(self, client: ApiClient, context: str) -> None:
        self._client = client
        self.context = context
        self._served: dict[str, dict[str, Resource]] = {}

    def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        bound_s: float = BOUND_S,
    ) -> Any:
        """The answer as an object, or as text where it is none. ApiError where it is no success."""
        status, data = self._answer(method, path, query, body, content_type, bound_s)
        try:
            found = json.loads(data)
        except ValueError:
            found = data.decode("utf-8", "replace")
        if not 200 <= status < 300:
            raise ApiError(f"the API server refused {method} {path}", status, _said(path, status, found))
        return found

    def _answer(
        self, method: str, path: str, query: Mapping[str, str] | None, body: Any, kind: str, bound_s: float
    ) -> tuple[int, bytes]:
        headers = {"Accept": "application/json", "Content-Type": kind}
        try:
            asked = self._client.param_serialize(
                method, path, query_params=list((query or {}).items()), header_params=headers, body=body,
                auth_settings=["BearerToken"],
            )  # fmt: skip
            response = self._client.call_api(*asked, _request_timeout=bound_s)
            return int(response.status), bytes(response.read() or b"")
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unanswered(error) from None

    def _unanswered(self, error: Exception) -> ApiError:
        return ApiError(
            f"no answer from the API server of the context {self.context}",
            0,
            f"{type(error).__name__}: {str(getattr(error, 'reason', None) or error)[:500]}",
            hint=f"kubectl --context {self.context} get nodes",
        )

    @contextmanager
    def stream(self, path: str, query: Mapping[str, str], bound_s: float) -> Iterator[BaseHTTPResponse]:
        """An answer as it comes, for the caller to read and, from another thread, to `shutdown`.

        ApiError where it is no success. `bound_s` is the longest silence; passing it raises urllib3's error.
        """
        try:
            asked = self._client.param_serialize(
                "GET", path, query_params=list(query.items()), header_params={"Accept": "*/*"},
                auth_settings=["BearerToken"],
            )  # fmt: skip
            answer = self._client.call_api(*asked, _request_timeout=(BOUND_S, bound_s)).response
        except (ApiException, urllib3.exceptions.HTTPError, OSError) as error:
            raise self._unanswered(error) from None
        try:
            if answer.status != 200:
                said = f"HTTP {answer.status}: {answer.read(2000).decode('utf-8', 'replace')}"
                raise ApiError(f"the API server refused GET {path}", answer.status, said)
            yield answer
        finally:
            answer.close()

    def version(self) -> str:
        """The server's version, such as v1.35.2."""
        return str(self.call("GET", "/version")["gitVersion"])

    def resource(self, api_version: str, kind: str) -> Resource | None:
        """Where the objects of a kind are; None where this server does not know the kind."""
        if api_version not in self._served:
            try:
                found = self.call("GET", _root(api_version))["resources"]
            except ApiError as error:
                if error.status != NOT_FOUND:
                    raise
                found = []
            self._served[api_version] = {
                one["kind"]: Resource(one["name"], one["namespaced"])
                for one in found
                if "/" not in one["name"]
            }
        return self._served[api_version].get(kind)

    def path(self, document: Mapping[str, Any]) -> str:
        """Where an object is. ApiError where this server does not know its kind."""
        metadata = document["metadata"]
        api_version, kind = str(document["apiVersion"]), str(document["kind"])
        return self.place(api_version, kind, metadata.get("namespace"), metadata["name"])

    def place(self, api_version: str, kind: str, namespace: str | None = None, name: str = "") -> str:
        """The path of an object, or without a name of all of a kind; without a namespace of all of them."""
        found = self.resource(api_version, kind)
        if found is None:
            raise ApiError(f"this cluster does not know {api_version} {kind}", NOT_FOUND, self.version())
        inside = f"/namespaces/{namespace}" if namespace and found.namespaced else ""
        return f"{_root(api_version)}{inside}/{found.plural}" + (f"/{name}" if name else "")

    def apply(self, document: Mapping[str, Any], *, dry_run: bool = False) -> Document:
        """Server-side apply, as the owner of each field that it names."""
        query = {"fieldManager": FIELD_MANAGER, "force": "true", **({"dryRun": "All"} if dry_run else {})}
        found = self.call("PATCH", self.path(document), query=query, body=dict(document), content_type=APPLY)
        return dict(found)

    def create(self, document: Mapping[str, Any]) -> Document:
        """Make an object that must not be there yet; ApiError of status CONFLICT where it is."""
        metadata = document["metadata"]
        path = self.place(str(document["apiVersion"]), str(document["kind"]), metadata.get("namespace"))
        return dict(self.call("POST", path, query={"fieldManager": FIELD_MANAGER}, body=dict(document)))

    def get(self, api_version: str, kind: str, name: str, namespace: str | None = None) -> Document | None:
        """An object; None where there is none of this name, or none of this kind."""
        if self.resource(api_version, kind) is None:
            return None
        try:
            return dict(self.call("GET", self.place(api_version, kind, namespace, name)))
        except ApiError as error:
            if error.status == NOT_FOUND:
                return None
            raise

    def all(
        self, api_version: str, kind: str, namespace: str | None = None, *, labels: str = "", fields: str = ""
    ) -> list[Document]:
        """The objects of a kind, by labels or fields; none where the server does not know the kind."""
        if self.resource(api_version, kind) is None:
            return []
        query = {"labelSelector": labels, "fieldSelector": fields}
        asked = {name: value for name, value in query.items() if value}
        return list(self.call("GET", self.place(api_version, kind, namespace), query=asked)["items"])

    def merge(self, api_version: str, kind: str, name: str, namespace: str | None, change: Any) -> Document:
        """Lay a change over an object (JSON merge patch)."""
        path = self.place(api_version, kind, namespace, name)
        return dict(self.call("PATCH", path, body=change, content_type=MERGE))

    def delete(
        self,
        api_version: str,
        kind: str,
        name: str,
        namespace: str | None = None,
        *,
        grace_s: int | None = None,
        uid: str | None = None,
    ) -> bool:
        """Ask for an object's end; whether it was there, and with `uid` still the same. It goes in its own
        time. Without a name: of all of the kind in a namespace."""
        body: Document = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
        if grace_s is not None:
            body["gracePeriodSeconds"] = grace_s
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        try:
            self.call("DELETE", self.place(api_version, kind, namespace, name), body=body)
        except ApiError as error:
            if error.status == NOT_FOUND or (uid is not None and error.status == CONFLICT):
                return False
            raise
        return True

    def log(
        self, namespace: str, pod: str, container: str, *, lines: int = 20, previous: bool = False
    ) -> str:
        """The last lines of a container; in words why there are none."""
        query = {
            "container": container,
            "tailLines": str(lines),
            **({"previous": "true"} if previous else {}),
        }
        try:
            status, data = self._answer(
                "GET",
                f"/api/v1/namespaces/{namespace}/pods/{pod}/log",
                query,
                None,
                "application/json",
                BOUND_S,
            )
        except ApiError as error:
            return f"(no log: {error.seen})"
        text = data.decode("utf-8", "replace")
        return text if status == 200 else f"(no log: HTTP {status})"

    def groups(self) -> Iterator[str]:
        """Each group version that the server serves: v1, apps/v1, …"""
        yield "v1"
        for group in self.call("GET", "/apis")["groups"]:
            yield from (one["groupVersion"] for one in group["versions"])

    def forget(self) -> None:
        """Ask anew which kinds there are: one may have been brought since."""
        self._served.clear()

    def close(self) -> None:
        self._client.close()


def _said(path: str, status: int, found: Any) -> str:
    """What the server says of a refusal. Of a Secret only why: its message may repeat what was sent."""
    told = found if isinstance(found, dict) else {"message": str(found)}
    words = told.get("reason") or "refused" if OF_SECRETS.search(path) else told.get("message", "")
    return f"HTTP {status}: {str(words)[:2000]}"


def _root(api_version: str) -> str:
    return f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
