"""Weights of a repository on Hugging Face, or on anything that speaks its API, at one commit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

import httpx
import httpx2  # what huggingface_hub asks with
from huggingface_hub import HfApi, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._headers import build_hf_headers

from deploy.weights.source import Checksum, RemoteFile, TransferError, UsageError, is_own, safe_path

COMMIT = re.compile(r"[0-9a-f]{40}")
PIECE = 1 << 18  # what of a piece has come is lost when a connection breaks
TIMEOUT = httpx.Timeout(60, connect=10)


class Repository:
    """The files of `repository` at `commit`; the token comes from HF_TOKEN and from nowhere else."""

    def __init__(self, repository: str, commit: str) -> None:
        if not COMMIT.fullmatch(commit):
            raise UsageError("expected hf://ORG/NAME@COMMIT with 40 hexadecimal digits; a branch moves")
        self._repository = repository
        self._commit = commit
        self._checksums: dict[str, Checksum] = {}
        self._token = os.environ.get("HF_TOKEN") or False
        self._client = httpx.Client(follow_redirects=True, timeout=TIMEOUT)
        self.name = f"hf://{repository}@{commit}"

    def files(self) -> Sequence[RemoteFile]:
        """All files of the commit; large ones carry a SHA-256, the others git's own SHA-1."""
        try:
            api = HfApi(token=self._token)
            info = api.model_info(self._repository, revision=self._commit, files_metadata=True)
        except HfHubHTTPError as error:
            raise _refused(error.response.status_code, self.name) from None
        except HFValidationError as error:
            raise UsageError(f"expected hf://ORG/NAME@COMMIT; saw {error}") from None
        except (httpx2.HTTPError, OSError) as error:
            raise TransferError(f"listing {self.name}: {type(error).__name__}", again=True) from None
        found = []
        for entry in info.siblings or ():
            if is_own(entry.rfilename):
                continue
            path = safe_path(entry.rfilename, entry.rfilename)
            if entry.size is None or entry.blob_id is None:
                raise UsageError(f"expected sizes and digests of {self.name}; {path!r} has none")
            kind, value = ("sha256", entry.lfs.sha256) if entry.lfs else ("git-sha1", entry.blob_id)
            self._checksums[path] = Checksum(kind, value)
            found.append(RemoteFile(path, entry.size, value))
        return found

    def checksum(self, file: RemoteFile) -> Checksum | None:
        """As listed."""
        return self._checksums.get(file.path)

    def read(self, file: RemoteFile, offset: int) -> Iterator[bytes]:
        """The file's bytes from `offset` on."""
        url = hf_hub_url(self._repository, file.path, revision=self._commit)
        headers = build_hf_headers(token=self._token) | {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
        try:
            with self._client.stream("GET", url, headers=headers) as answer:
                if answer.status_code != (206 if offset else 200):
                    raise _refused(answer.status_code, file.path)
                yield from answer.iter_raw(PIECE)
        except (httpx.HTTPError, OSError) as error:
            # Its text has the address in it, and that of a redirect is signed.
            raise TransferError(f"{file.path}: {type(error).__name__}", again=True) from None


def _refused(status: int, what: str) -> TransferError | UsageError:
    if status in (401, 403, 404):
        return UsageError(f"{what}: answered {status}; is the name right, is HF_TOKEN set for a gated model?")
    return TransferError(f"{what}: answered {status}", again=status >= 500 or status in (408, 429))
