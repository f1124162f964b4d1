"""Weights below a prefix of an S3 bucket, or of anything that speaks S3's API."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import boto3
import urllib3.exceptions
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from deploy.weights.source import Checksum, RemoteFile, TransferError, UsageError, is_own, safe_path

PIECE = 1 << 18  # what of a piece has come is lost when a connection breaks
SINGLE_PART_ETAG = re.compile(r"[0-9a-f]{32}")
LOST = (BotoCoreError, urllib3.exceptions.HTTPError, OSError)
REFUSED = {"403", "AccessDenied", "NoSuchBucket"}
CHANGED = {"404", "412", "NoSuchKey", "PreconditionFailed"}


class Client(Protocol):
    """What is used of boto3's client, which has no types of its own."""

    def get_paginator(self, operation_name: str) -> Any: ...
    def head_object(self, **arguments: str) -> Mapping[str, Any]: ...
    def get_object(self, **arguments: str) -> Mapping[str, Any]: ...


class Bucket:
    """The objects below `prefix/`; a prefix ends at the border of a folder, given with its slash or not."""

    def __init__(self, client: Client, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix.strip("/") + "/" if prefix.strip("/") else ""
        self.name = f"s3://{bucket}/{self._prefix}"

    def files(self) -> Sequence[RemoteFile]:
        """All objects, over as many pages as there are; names of folders alone are left out."""
        found = []
        pages = self._client.get_paginator("list_objects_v2")
        try:
            for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for entry in page.get("Contents", ()):
                    key = str(entry["Key"])
                    if key.endswith("/") and entry["Size"] == 0:
                        continue
                    if is_own(key.removeprefix(self._prefix)):
                        continue
                    path = safe_path(key.removeprefix(self._prefix), key)
                    found.append(RemoteFile(path, int(entry["Size"]), str(entry["ETag"]).strip('"')))
        except (ClientError, *LOST) as error:
            raise _failure(error, f"listing {self.name}") from None
        if not found:
            raise UsageError(f"expected objects below {self.name}; saw none; is it the folder of the model?")
        return found

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """The object's SHA-256 or CRC-32 if it was uploaded with one, else the MD5 that its ETag may be.

        A checksum of parts says nothing of the whole; CRC-32C and CRC-64 are not in the standard library.
        """
        try:
            head = self._client.head_object(**self._object(file), ChecksumMode="ENABLED")
        except (ClientError, *LOST) as error:
            raise _failure(error, file.path) from None
        if head.get("ChecksumType", "FULL_OBJECT") == "FULL_OBJECT":
            for field, kind in (("ChecksumSHA256", "sha256"), ("ChecksumCRC32", "crc32")):
                value = _hexadecimal(head.get(field))
                if value:
                    return Checksum(kind, value)
        encrypted = str(head.get("ServerSideEncryption", "")).startswith("aws:kms")
        customer = bool(head.get("SSECustomerAlgorithm"))
        if SINGLE_PART_ETAG.fullmatch(file.version) and not encrypted and not customer:
            return Checksum("md5", file.version)
        return None

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """The object's bytes from `offset` on, if it is still the one that was listed."""
        span = {"Range": f"bytes={offset}-"} if offset else {}
        try:
            answer = self._client.get_object(**self._object(file), **span)
            body = answer["Body"]
            try:
                if offset and not str(answer.get("ContentRange", "")).startswith(f"bytes {offset}-"):
                    raise TransferError(f"{file.path}: the server does not know ranges", again=False)
                yield from body.iter_chunks(PIECE)
            finally:
                body.close()
        except (ClientError, *LOST) as error:
            raise _failure(error, file.path) from None

    def _object(self, file: RemoteFile) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + file.path, "IfMatch": f'"{file.version}"'}


def connect(bucket: str, prefix: str, endpoint_url: str | None, connections: int) -> Bucket:
    """The bucket by boto3's own chain of credentials (environment, Pod Identity, IRSA, instance).

    Raises UsageError where boto3 cannot be set up.
    """
    config = Config(
        connect_timeout=10,
        read_timeout=60,
        max_pool_connections=connections + 2,
        retries={"total_max_attempts": 2, "mode": "standard"},  # what is retried longer is in transfer.py
        response_checksum_validation="when_required",  # done here, over resumed files too
        user_agent_extra="vllm-slo-weights",
    )
    try:
        client = boto3.client("s3", endpoint_url=endpoint_url, config=config)
    except BotoCoreError as error:
        raise UsageError(f"expected what boto3 needs; saw {error}") from None
    except ValueError:  # its text repeats the URL, in which somebody may have put a password
        raise UsageError("expected --endpoint-url http(s)://HOST:PORT") from None
    return Bucket(client, bucket, prefix)


def _hexadecimal(value: object) -> str | None:
    try:
        return base64.b64decode(str(value or ""), validate=True).hex() or None
    except binascii.Error:
        return None  # "…-3": of three parts


def _failure(error: Exception, what: str) -> UsageError | TransferError:
    if isinstance(error, NoCredentialsError | PartialCredentialsError):
        return UsageError("expected credentials of AWS in boto3's chain; saw none; set a role or AWS_PROFILE")
    if not isinstance(error, ClientError):
        return TransferError(f"{what}: {type(error).__name__}", again=True)
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    if {code, status} & REFUSED:
        return UsageError(f"{what}: answered {code}; is the name right, may this role list and get there?")
    if {code, status} & CHANGED:
        return TransferError(f"{what}: was changed since it was listed; run again", again=False)
    return TransferError(f"{what}: answered {code or status}", again=True)
