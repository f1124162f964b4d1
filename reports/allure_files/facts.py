"""Files beside Allure's results: environment.properties and executor.json, as Allure 2 and 3 read them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from instruments.results import SessionRecord
from reports import wording

# Set by a workflow that knows where the report will be published: no CI service tells that beforehand.
REPORT_URL = "ALLURE_REPORT_URL"
SELECTED = "claims selected"
UNFINISHED = "no: it was cut off, or goes on"


def environment_properties(
    fingerprint: Mapping[str, Any], session: SessionRecord, selected: int | None = None
) -> str:
    """environment.properties: the session, then the fingerprint; escaped as java.util.Properties reads it.

    `selected`: how many claims the session had to make, for the quality gate to count after a kill.
    """
    about = {
        "run": session.run_id,
        "environment": session.environment,
        "engine": session.engine or wording.UNDEFINED,
        "simulated": "yes" if session.simulated else "no",
        "gate": "yes" if session.gate else "no",
        # Allure shows the first eight unasked.
        "came to its end": _ended(session),
        SELECTED: wording.UNDEFINED if selected is None else selected,
        "seed": session.seed,
        "duration scale": f"{session.duration_scale:g}",
        "telemetry": session.telemetry or wording.UNDEFINED,
    }
    pairs = {**about, **{name: value for name, value in fingerprint.items() if name not in about}}
    return "".join(f"{_property(str(name), key=True)}={_property(_text(pairs[name]))}\n" for name in pairs)


def executor(session: SessionRecord, environ: Mapping[str, str]) -> dict[str, Any]:
    """executor.json: who ran it, from the variables that the CI services set; a person otherwise.

    `reportUrl` is what ALLURE_REPORT_URL says, else where Jenkins and GitLab publish; absent where unknown.
    """
    about: dict[str, Any] = {"reportName": f"vllm-slo {session.run_id}"}
    if environ.get("GITHUB_ACTIONS"):
        repository = f"{environ.get('GITHUB_SERVER_URL', '')}/{environ.get('GITHUB_REPOSITORY', '')}"
        url = f"{repository}/actions/runs/{environ.get('GITHUB_RUN_ID', '')}"
        name, order = environ.get("GITHUB_WORKFLOW", "GitHub Actions"), environ.get("GITHUB_RUN_NUMBER")
        about |= _build("github", name, url, order)
    elif environ.get("GITLAB_CI"):
        name, url = environ.get("CI_JOB_NAME", "GitLab CI"), environ.get("CI_JOB_URL", "")
        about |= _build("gitlab", name, url, environ.get("CI_PIPELINE_IID"))
        about |= _published(environ.get("CI_PAGES_URL", ""))
    elif environ.get("JENKINS_URL"):
        name, url = environ.get("JOB_NAME", "Jenkins"), environ.get("BUILD_URL", "")
        about |= _build("jenkins", name, url, environ.get("BUILD_NUMBER"))
        about |= _published(f"{url.rstrip('/')}/allure/" if url else "")  # where its Allure plugin puts it
    else:
        about |= {"name": "by hand", "type": "local", "buildName": session.run_id}
    return about | _published(environ.get(REPORT_URL, ""))


def _ended(session: SessionRecord) -> str:
    if session.finished_at is None:
        return UNFINISHED
    code = wording.UNDEFINED if session.exit_code is None else session.exit_code
    why = f": {session.exit_reason}" if session.exit_reason else ""
    return f"{session.finished_at}, exit code {code}{why}"


def _build(kind: str, name: str, url: str, order: str | None) -> dict[str, Any]:
    build: dict[str, Any] = {
        "name": name,
        "type": kind,
        "buildName": f"{name} #{order or '?'}",
        "buildUrl": url,
    }
    return build | ({"buildOrder": int(order)} if order and order.isdecimal() else {})


def _published(url: str) -> dict[str, str]:
    return {"reportUrl": url} if url.startswith(("http://", "https://")) else {}


def _text(value: Any) -> str:
    if value is None:
        return wording.UNDEFINED
    if isinstance(value, (list, tuple)):
        return ", ".join(map(str, value))
    return str(value)


def _property(text: str, *, key: bool = False) -> str:
    """Escaped for a .properties file, which is Latin-1: all beyond ASCII as UTF-16 escapes."""
    special = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\f": "\\f", "=": "\\=", ":": "\\:"}
    special |= {"#": "\\#", "!": "\\!"} | ({" ": "\\ "} if key else {})
    text = "".join(special.get(character) or _ascii(character) for character in text)
    # A leading blank of a value would be taken for the space after the separator.
    return f"\\{text}" if text.startswith(" ") else text


def _ascii(character: str) -> str:
    if " " <= character <= "~":
        return character
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at] << 8 | units[at + 1]:04x}" for at in range(0, len(units), 2))
